#include "nibble/compress/export_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/core/hash.h"
#include "nibble/core/in_file.h"
#include "nibble/eval/generation.h"
#include "nibble/eval/perplexity.h"
#include "nibble/text/tokenizer_probe.h"

namespace nibble {
namespace {

std::string_view bytes_of(const Tensor& t) {
  return {reinterpret_cast<const char*>(t.raw()), t.bytes()};
}

// The same values with a zero of either sign as one: a step below 0 times none is -0, the same step
// with an offset +0.
Tensor with_one_zero(const Tensor& values) {
  Tensor out(DType::f32, values.shape());
  std::ranges::transform(values.data<float>(), out.mutable_data<float>().begin(),
                         [](float x) { return x + 0.0f; });
  return out;
}

// Codes and scales may lie otherwise in a file (groups cut into smaller ones, an offset in the
// place of a zero point): what they stand for may not differ by a bit.
std::string hash_of_values(const Weight& w, int threads) {
  std::string out = bytes_hash(bytes_of(with_one_zero(w.floats(threads))));
  if (w.is_quantized() && w.quantized().activation)
    out += bytes_hash(bytes_of(*w.quantized().activation));
  return out;
}

}  // namespace

void ExportCheck::note(std::string_view name, const Weight& weight, int threads) {
  hashes_.insert_or_assign(std::string(name), hash_of_values(weight, threads));
}

void ExportCheck::require_same(const Model& written, const Exec& exec) const {
  const std::vector<ParamSpec> table = parameter_table(written.config);
  int64_t done = 0;
  for (const ParamSpec& p : table) {
    exec.check_stop();
    exec.report({"check", ++done, std::ssize(table), p.name});
    const auto noted = hashes_.find(p.name);
    NIBBLE_CHECK(noted != hashes_.end());
    const std::string found = hash_of_values(load_weight(written, p), exec.threads);
    written.weights->release(p.name);
    if (found == noted->second) continue;
    throw io_error(
        "what was written is not what is read back: the disk failed, or nibble did (then "
        "please report it)")
        .at("tensor " + in_quotes(p.name));
  }
}

Verified verify_logits(const Model& original, const Model& written, const Exec& exec) {
  constexpr int64_t kSequences = 4, kLength = 128;
  const LinearOptions linear{.threads = exec.threads};
  const Decoder base = load_decoder(original, linear), made = load_decoder(written, linear);
  Exec quiet = exec;
  quiet.progress = nullptr;
  const auto text =
      generated_sequences(base, original.require_tokenizer(), kSequences,
                          std::min(kLength, original.decoder_config().context), 1, quiet);
  const ComparisonResult r =
      compare_models(logits_of(made), logits_of(base), text, quiet, "verify");
  int64_t tokens = 0;
  for (const ScoredSequence& s : text) tokens += std::ssize(s.ids) - 1;
  return {tokens, r.divergence.kl_mean, r.divergence.top1_agreement};
}

std::string tokenizer_difference(const Model& original, const Model& written) {
  const auto tokenizer_of = [](const Model& m) {
    return m.companions == nullptr ? nullptr : m.companions->tokenizer();
  };
  std::shared_ptr<const Tokenizer> mine, theirs;
  try {
    mine = tokenizer_of(original);
    theirs = tokenizer_of(written);
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::not_found || e.kind() == ErrorKind::unsupported) return "";
    throw;
  }
  if (mine == nullptr || theirs == nullptr) return "";
  const std::string line = line_of_other_ids(*mine, *theirs);
  if (line.empty()) return "";
  return fmt::format("the tokenizer in the file makes other ids than the model's own of {}", line);
}

}  // namespace nibble
