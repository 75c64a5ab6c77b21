#include "nibble/compress/calibration_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/random.h"
#include "nibble/eval/protocol.h"
#include "nibble/nn/sampling.h"

namespace nibble {
namespace {

constexpr int64_t kFewestTokens = 128;
constexpr int64_t kTogether = 16;  // samples that are written side by side
constexpr int64_t kLargestText = int64_t{1} << 30;

// `count` of n in ascending order.
std::vector<size_t> choose(size_t n, size_t count, uint64_t seed) {
  std::vector<size_t> all(n);
  for (size_t i = 0; i < n; ++i) all[i] = i;
  PyRandom(seed).shuffle(all);
  all.resize(std::min(n, count));
  std::sort(all.begin(), all.end());
  return all;
}

CalibrationText from_file(const ModelFolder& model, const CalibrationOptions& o, int64_t length) {
  const Tokenizer& tokenizer = model.require_tokenizer();
  CalibrationText out;
  out.source = o.text;
  const std::string text = read_file(o.text, kLargestText);
  TextOptions cut;
  cut.window = length;
  const auto windows = scored_text(text, tokenizer, model.decoder_config().context, cut);
  for (const size_t i : choose(windows.size(), static_cast<size_t>(o.samples), o.seed))
    out.samples.push_back(windows[i].ids);
  return out;
}

// Samples [begin, end) of what the model writes, all together, each with a seed of its own: the
// sequences that generated_sequences() gives.
void write_samples(const Decoder& decoder, int32_t first, int64_t length, uint64_t seed,
                   std::span<std::vector<int32_t>> samples, const Exec& exec) {
  std::vector<KvCache> caches;
  std::vector<PyRandom> random;
  std::vector<int32_t> next;
  for (size_t i = 0; i < samples.size(); ++i) {
    caches.push_back(decoder.make_cache(length));
    random.emplace_back(seed + i);
    samples[i] = {first};
    next.push_back(first);
  }
  std::vector<KvCache*> all;
  for (KvCache& c : caches) all.push_back(&c);
  const SamplingOptions options;
  for (int64_t t = 1; t < length; ++t) {
    exec.check_stop();
    const auto logits = decoder.decode(next, all, exec);
    const size_t vocab = logits.size() / samples.size();
    for (size_t i = 0; i < samples.size(); ++i) {
      next[i] = sample(logits.subspan(i * vocab, vocab), samples[i], options, random[i]);
      samples[i].push_back(next[i]);
    }
  }
}

CalibrationText written(const ModelFolder& model, const CalibrationOptions& o, int64_t length,
                        const Exec& exec) {
  CalibrationText out;
  out.source = "text that the model generated";
  const Decoder decoder = load_decoder(model);
  const int32_t first = model.require_tokenizer().bos().value_or(0);
  out.samples.resize(static_cast<size_t>(o.samples));
  for (int64_t begin = 0; begin < o.samples; begin += kTogether) {
    const int64_t count = std::min(kTogether, o.samples - begin);
    write_samples(
        decoder, first, length, o.seed + static_cast<uint64_t>(begin),
        std::span(out.samples).subspan(static_cast<size_t>(begin), static_cast<size_t>(count)),
        exec);
    exec.report({"write text", begin + count, o.samples, {}});
  }
  return out;
}

void check(const CalibrationText& text, const DecoderConfig& config) {
  for (size_t s = 0; s < text.samples.size(); ++s) {
    for (size_t i = 0; i < text.samples[s].size(); ++i) {
      const int32_t id = text.samples[s][i];
      if (id >= 0 && id < config.vocab_size) continue;
      throw corrupt(
          fmt::format("calibration sample {} position {}: token {} is outside the "
                      "vocabulary of {}",
                      s, i, id, config.vocab_size));
    }
  }
  if (text.tokens() < kFewestTokens) {
    throw corrupt(
        fmt::format("calibration needs >= {} tokens, got {}: give more text, or none "
                    "for text that the model generates",
                    kFewestTokens, text.tokens()));
  }
}

}  // namespace

int64_t CalibrationText::tokens() const {
  int64_t sum = 0;
  for (const auto& s : samples) sum += static_cast<int64_t>(s.size());
  return sum;
}

CalibrationText calibration_text(const ModelFolder& model, const CalibrationOptions& options,
                                 const Exec& exec) {
  if (options.samples < 1 || options.length < 2)
    throw invalid_argument("calibration needs at least 1 sample of 2 tokens");
  const int64_t length = std::min(options.length, model.decoder_config().context);
  CalibrationText out = options.text.empty() ? written(model, options, length, exec)
                                             : from_file(model, options, length);
  try {
    check(out, model.decoder_config());
  } catch (Error& e) {
    e.set_file(options.text);
    throw;
  }
  return out;
}

}  // namespace nibble
