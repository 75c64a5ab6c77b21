#include "nibble/eval/speed.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/eval/generation.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

struct Run {
  double prefill = 0, decode = 0;
};

Run run_once(const Decoder& model, const std::vector<int32_t>& ids, const SpeedOptions& o,
             std::vector<KvCache>& caches, const Exec& exec) {
  const std::span<const int32_t> all(ids);
  Run out;
  std::vector<KvCache*> pointers;
  for (KvCache& cache : caches) {
    cache.clear();
    const auto start = Clock::now();
    model.step(all.first(static_cast<size_t>(o.prefill)), cache, Decoder::Logits::last, exec);
    if (pointers.empty()) out.prefill = seconds_since(start);
    pointers.push_back(&cache);
  }
  const auto start = Clock::now();
  for (int64_t i = 0; i < o.decode; ++i) {
    exec.check_stop();
    const std::vector<int32_t> next(pointers.size(), all[static_cast<size_t>(o.prefill + i)]);
    model.decode(next, pointers, exec);
  }
  out.decode = seconds_since(start);
  return out;
}

double rate(int64_t tokens, const Latency& l) {
  return l.median > 0 ? static_cast<double>(tokens) / l.median : 0;
}

}  // namespace

SpeedResult measure_speed(const Decoder& model, const SpeedOptions& o, const Exec& exec) {
  const int64_t needed = o.prefill + o.decode, context = model.config().context;
  if (needed > context) {
    throw invalid_argument(
        fmt::format("a prefill of {} and a decode of {} tokens do not fit the context of {}",
                    o.prefill, o.decode, context));
  }
  std::vector<int32_t> ids(static_cast<size_t>(needed));
  for (size_t i = 0; i < ids.size(); ++i) {
    ids[i] = static_cast<int32_t>((i * 7919 + 13) % static_cast<size_t>(model.config().vocab_size));
  }
  std::vector<KvCache> caches;
  for (int64_t i = 0; i < o.sequences; ++i) caches.push_back(model.make_cache(needed, o.kv));
  std::vector<double> prefill, decode;
  for (int r = -o.warmup; r < o.runs; ++r) {
    const Run run = run_once(model, ids, o, caches, exec);
    exec.report({"bench", r + o.warmup + 1, o.runs + o.warmup, {}});
    if (r < 0) continue;
    prefill.push_back(run.prefill);
    decode.push_back(run.decode);
  }
  SpeedResult out{summarize_latency(prefill), summarize_latency(decode), 0, 0};
  out.prefill_tokens_per_second = rate(o.prefill, out.prefill);
  out.decode_tokens_per_second = rate(o.decode * o.sequences, out.decode);
  return out;
}

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace nibble
