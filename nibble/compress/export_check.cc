#include "nibble/compress/export_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/core/hash.h"
#include "nibble/core/in_file.h"
#include "nibble/eval/generation.h"
#include "nibble/eval/perplexity.h"

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

// A line each, so that a difference is found by its line.
constexpr std::string_view kProbe[] = {
    "The quick brown fox, aged 12 years, didn't jump over 3.14159 lazy dogs' \"houses\".",
    "  two  spaces   and\ttabs\t\tand trailing   ",
    "def f(x):\n    return {'a': [1, 22, 333], \"b\": x ** 2}  # code\n\n\n",
    "Größe, café, naïve, Ærøskøbing, İstanbul, ﬁne ligature, e\xCC\x81",
    "Привет, мир! Καλημέρα κόσμε. שלום עולם. مرحبا بالعالم. नमस्ते दुनिया",
    "你好，世界。こんにちは世界。안녕하세요 세계",
    "emoji 😀👩‍👩‍👧‍👦🇩🇪, symbols ∑∞≈€£, 1234567890123",
    "HTTPServer2 camelCase snake_case UPPER I'M we'Ll they'd",
    "http://example.org/a?b=c&d=%20#e user@example.org",
};

bool same_ids(const Tokenizer& a, const Tokenizer& b, std::string_view text) {
  return a.encode(text, true) == b.encode(text, true);
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
  for (const std::string_view line : kProbe) {
    if (same_ids(*mine, *theirs, line)) continue;
    return fmt::format("the tokenizer in the file makes other ids than the model's own of {}",
                       in_quotes(line, 60));
  }
  return "";
}

}  // namespace nibble
