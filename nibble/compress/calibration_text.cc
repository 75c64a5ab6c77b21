#include "nibble/compress/calibration_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/in_file.h"
#include "nibble/core/random.h"
#include "nibble/core/stoppable.h"
#include "nibble/eval/estimate.h"
#include "nibble/eval/perplexity.h"
#include "nibble/eval/protocol.h"
#include "nibble/model/session.h"
#include "nibble/nn/sampling.h"

namespace nibble {
namespace {

constexpr int64_t kFewestTokens = 128;
constexpr int64_t kTogether = 16;  // samples that are written side by side
// What a text's fit is measured on, and how far apart the losses may be, in nats.
constexpr int64_t kFitSamples = 16, kFitLength = 128;
// The same of models with more weights than that: 512 tokens, whose mean loss is known to about 0.1
// nats, tell losses a nat apart as well, in a quarter of the time.
constexpr int64_t kLargeModel = int64_t{1} << 28;
constexpr int64_t kFewFitSamples = 8, kShortFitLength = 64;
constexpr double kFarApart = 1.0;
constexpr int64_t kLargestText = int64_t{1} << 30;

// `count` of n in ascending order, after `skip` of them in the order of the seed.
std::vector<size_t> choose(size_t n, size_t skip, size_t count, uint64_t seed) {
  std::vector<size_t> all(n);
  for (size_t i = 0; i < n; ++i) all[i] = i;
  PyRandom(seed).shuffle(all);
  skip = std::min(n, skip);
  count = std::min(n - skip, count);
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(skip);
  std::vector<size_t> out(begin, begin + static_cast<std::ptrdiff_t>(count));
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<ScoredSequence> windows_of(const Model& model, const CalibrationOptions& o,
                                       int64_t length) {
  TextOptions cut;
  cut.window = length;
  return scored_text(read_file(o.text, kLargestText), model.require_tokenizer(),
                     model.decoder_config().context, cut);
}

// Samples [skip, skip + count) in the order of the seed.
CalibrationText from_file(const Model& model, const CalibrationOptions& o, int64_t length,
                          int64_t skip, int64_t count) {
  CalibrationText out;
  out.source = o.text;
  const auto windows = windows_of(model, o, length);
  for (const size_t i :
       choose(windows.size(), static_cast<size_t>(skip), static_cast<size_t>(count), o.seed))
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
  std::vector<Decoder::Item> batch;
  for (size_t i = 0; i < caches.size(); ++i) batch.push_back({{&next[i], 1}, &caches[i]});
  Session session(decoder);
  const SamplingOptions options;
  for (int64_t t = 1; t < length && !exec.stopping(); ++t) {
    const auto logits = session.run(batch, exec);
    const size_t vocab = logits.size() / samples.size();
    for (size_t i = 0; i < samples.size(); ++i) {
      next[i] = sample(logits.subspan(i * vocab, vocab), samples[i], options, random[i]);
      samples[i].push_back(next[i]);
    }
  }
}

CalibrationText written(const Model& model, const CalibrationOptions& o, int64_t length,
                        int64_t skip, int64_t count, const Exec& exec) {
  CalibrationText out;
  out.source = "text that the model generated";
  const Decoder decoder = load_decoder(model, {.threads = exec.threads});
  const int32_t first = model.require_tokenizer().bos().value_or(0);
  out.samples.resize(static_cast<size_t>(count));
  // A thread writes kTogether samples at a time on its own: nobody waits for another.
  const Exec alone = exec.single();
  const int64_t batch = kTogether * std::max(exec.threads, 1);
  for (int64_t begin = 0; begin < count; begin += batch) {
    exec.check_stop();
    const int64_t end = std::min(begin + batch, count);
    parallel_for(ceil_div(end - begin, kTogether), exec, [&](int64_t i) {
      const int64_t at = begin + i * kTogether;
      const auto few = static_cast<size_t>(std::min(kTogether, end - at));
      write_samples(decoder, first, length, o.seed + static_cast<uint64_t>(skip + at),
                    std::span(out.samples).subspan(static_cast<size_t>(at), few), alone);
    });
    exec.report({"write text", end, count, {}});
  }
  return out;
}

void check(const CalibrationText& text, const DecoderConfig& config, bool written) {
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
        fmt::format("calibration needs >= {} tokens, got {}: {}", kFewestTokens, text.tokens(),
                    written ? "raise `calibration_samples` or `calibration_length`"
                            : "give more text, or none for text that the model generates"));
  }
}

int64_t sample_length(const Model& model, const CalibrationOptions& o) {
  if (o.samples < 1 || o.length < 2)
    throw invalid_argument("calibration needs at least 1 sample of 2 tokens");
  return std::min(o.length, model.decoder_config().context);
}

CalibrationText samples_of(const Model& model, const CalibrationOptions& o, int64_t skip,
                           int64_t count, const Exec& exec) {
  const int64_t length = sample_length(model, o);
  CalibrationText out = o.text.empty() ? written(model, o, length, skip, count, exec)
                                       : from_file(model, o, length, skip, count);
  try {
    check(out, model.decoder_config(), o.text.empty());
  } catch (Error& e) {
    e.set_file(o.text);
    throw;
  }
  return out;
}

int64_t weights_of(const Model& model) {
  int64_t sum = 0;
  for (const ParamSpec& p : parameter_table(model.config)) sum += p.shape.elements();
  return sum;
}

}  // namespace

int64_t CalibrationText::tokens() const {
  int64_t sum = 0;
  for (const auto& s : samples) sum += static_cast<int64_t>(s.size());
  return sum;
}

CalibrationText calibration_text(const Model& model, const CalibrationOptions& options,
                                 const Exec& exec) {
  return samples_of(model, options, 0, options.samples, exec);
}

int64_t text_memory(const Model& model, const CalibrationOptions& o, int threads) {
  int64_t weights = 0;
  for (const ParamSpec& p : parameter_table(model.config))
    weights += p.shape.elements() * size_of(model.weights->stored_as(p.name).dtype);
  weights += weights / 20;  // padding of the packed layouts
  const bool fit = !o.text.empty();
  const int64_t together =
      fit ? kFitSamples : std::min(o.samples, kTogether * std::max(threads, 1));
  const int64_t length =
      fit ? std::min(kFitLength, model.decoder_config().context) : sample_length(model, o);
  // Of every position, twice: as they are computed and as they are handed out.
  const int64_t rows = fit ? 2 * std::min<int64_t>(threads, kFitSamples) * length : together;
  const int64_t logits = rows * model.decoder_config().vocab_size;
  return weights + together * length * kv_bytes_per_token(model.decoder_config(), DType::f32) +
         logits * int64_t{sizeof(float)};
}

CalibrationFit calibration_fit(const Model& model, const CalibrationText& text, uint64_t seed,
                               const Exec& exec) {
  const Decoder decoder = load_decoder(model, {.threads = exec.threads});
  const bool large = weights_of(model) > kLargeModel;
  const int64_t length =
      std::min(large ? kShortFitLength : kFitLength, model.decoder_config().context);
  Exec quiet = exec;
  quiet.progress = nullptr;
  std::vector<std::vector<int32_t>> given(
      static_cast<size_t>(large ? kFewFitSamples : kFitSamples));
  std::vector<std::vector<int32_t>> own(given.size());
  for (size_t i = 0; i < given.size(); ++i) {
    const auto& s = text.samples[i * text.samples.size() / given.size()];
    given[i].assign(s.begin(), s.begin() + std::min<int64_t>(length, std::ssize(s)));
  }
  write_samples(decoder, model.require_tokenizer().bos().value_or(0), length, seed, own, quiet);
  exec.check_stop();
  const auto loss = [&](const std::vector<std::vector<int32_t>>& samples) {
    return measure_loss(logits_of(decoder), all_scored(samples), quiet, "calibrate").loss;
  };
  return {loss(given), loss(own)};
}

std::string fit_warning(const CalibrationFit& fit, const std::string& source) {
  const double apart = fit.loss - fit.own_loss;
  if (!(std::fabs(apart) > kFarApart)) return "";
  return fmt::format(
      "calibration text {}: the model's loss there is {:.2f}, on text of its own {:.2f}: it {}; "
      "quantizing may come out worse than without calibration. Take text like the one it will be "
      "used on, or none",
      in_quotes(source), fit.loss, fit.own_loss,
      apart < 0 ? "knows this text by heart" : "does not know such text");
}

CalibrationText held_out_text(const Model& model, CalibrationOptions& options, int64_t count,
                              const Exec& exec) {
  if (!options.text.empty()) {
    const int64_t length = sample_length(model, options);
    const auto all = static_cast<int64_t>(windows_of(model, options, length).size());
    options.samples = std::min(options.samples, all - count);
    if (options.samples < 1)
      throw corrupt(
          fmt::format("calibration needs > {} samples of {} tokens, since so many are kept to "
                      "measure on, got {}: give more text, a shorter `calibration_length`, or none "
                      "for text that the model generates",
                      count, length, all))
          .in_file(options.text);
  }
  return samples_of(model, options, options.samples, count, exec);
}

}  // namespace nibble
