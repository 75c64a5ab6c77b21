#include "nibble/eval/generation.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "nibble/core/error.h"

namespace nibble {

std::vector<int32_t> generate(const Decoder& model, std::span<const int32_t> prompt,
                              const GenerateOptions& options, PyRandom& random, const Exec& exec,
                              const TokenHook& hook) {
  const int64_t context = model.config().context, given = static_cast<int64_t>(prompt.size());
  if (given == 0) throw invalid_argument("generating needs a prompt of at least one token");
  // The last token chosen needs no place of its own: nothing is predicted behind it.
  const int64_t wanted = options.max_new_tokens, places = given + std::max<int64_t>(wanted, 1) - 1;
  if (places > context) {
    throw invalid_argument(fmt::format(
        "a prompt of {} tokens and {} new ones do not fit the context of {}: shorten the "
        "prompt or ask for at most {}",
        given, wanted, context, std::max<int64_t>(context - given + 1, 0)));
  }
  std::vector<int32_t> out, history(prompt.begin(), prompt.end());
  KvCache cache = model.make_cache(places);
  std::vector<int32_t> next(prompt.begin(), prompt.end());
  while (static_cast<int64_t>(out.size()) < wanted) {
    exec.check_stop();
    const auto logits = model.forward(next, cache, Decoder::Logits::last, exec);
    const int32_t token = sample(logits, history, options.sampling, random);
    if (options.stop == token) break;
    out.push_back(token);
    history.push_back(token);
    if (hook && !hook(token)) break;
    next.assign(1, token);
  }
  return out;
}

std::vector<ScoredSequence> generated_sequences(const Decoder& model, const Tokenizer& tokenizer,
                                                int64_t count, int64_t length, uint64_t seed,
                                                const Exec& exec) {
  const int32_t first = tokenizer.bos().value_or(0);
  GenerateOptions options;
  options.max_new_tokens = std::min(length, model.config().context) - 1;
  std::vector<ScoredSequence> out;
  for (int64_t i = 0; i < count; ++i) {
    PyRandom random(seed + static_cast<uint64_t>(i));
    ScoredSequence s{{first}, 1};
    const auto ids = generate(model, std::span(&first, 1), options, random, exec);
    s.ids.insert(s.ids.end(), ids.begin(), ids.end());
    out.push_back(std::move(s));
    exec.report({"write text", i + 1, count, {}});
  }
  return out;
}

Latency summarize_latency(std::span<const double> seconds) {
  Latency out;
  out.runs = static_cast<int64_t>(seconds.size());
  if (seconds.empty()) return out;
  const auto n = static_cast<double>(seconds.size());
  for (const double s : seconds) out.mean += s / n;
  for (const double s : seconds) out.standard_deviation += (s - out.mean) * (s - out.mean);
  out.standard_deviation = n > 1 ? std::sqrt(out.standard_deviation / (n - 1)) : 0;
  std::vector<double> sorted(seconds.begin(), seconds.end());
  std::sort(sorted.begin(), sorted.end());
  out.minimum = sorted.front();
  out.median = (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2;
  return out;
}

GenerationSpeed time_generation(const Decoder& model, std::span<const int32_t> prompt,
                                int64_t tokens, int runs, int warmup, const Exec& exec) {
  GenerateOptions options;
  options.max_new_tokens = tokens;
  options.sampling.temperature = 0;
  PyRandom random(0);
  std::vector<double> seconds;
  size_t made = 0;
  for (int run = -warmup; run < runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    made = generate(model, prompt, options, random, exec).size();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (run >= 0) seconds.push_back(took.count());
  }
  GenerationSpeed out{summarize_latency(seconds), 0};
  if (out.latency.median > 0) {
    out.tokens_per_second = static_cast<double>(made) / out.latency.median;
  }
  return out;
}

}  // namespace nibble
