#include "nibble/jobs/text.h"

#include <fmt/format.h>

#include "nibble/core/in_file.h"
#include "nibble/eval/perplexity.h"
#include "nibble/text/builtin_names.h"

namespace nibble {

Text names_text() { return {"built-in names", std::string(builtin_names())}; }

std::vector<ScoredSequence> cut_text(const Text& text, const Model& model,
                                     const TextOptions& options) {
  return naming_file(text.name, [&] {
    auto out =
        scored_text(text.text, model.require_tokenizer(), model.decoder_config().context, options);
    require_predictions(out);
    return out;
  });
}

std::string describe_text(const Text& text, const TextOptions& options) {
  return fmt::format("{}, {}, protocol {}", text.name,
                     options.heldout ? "the held-out tenth" : "all of it",
                     to_string(options.protocol));
}

}  // namespace nibble
