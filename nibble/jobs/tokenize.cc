#include "nibble/jobs/tokenize.h"

#include "nibble/model/hf_cache.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

TokenizeResult tokenize(const std::string& model, std::string_view text, bool special) {
  const auto tokenizer = load_tokenizer(resolve_model(model));
  TokenizeResult out{std::string(tokenizer->kind()), tokenizer->encode(text, special), {}};
  for (const int32_t id : out.ids) out.tokens.push_back(tokenizer->token_text(id));
  return out;
}

}  // namespace nibble
