#include "nibble/eval/speed.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <chrono>
#include <utility>
#include <vector>

#include "nibble/core/error.h"
#include "nibble/model/session.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_of(Clock::time_point t) {
  return std::chrono::duration<double>(Clock::now() - t).count();
}

// One of the models, with what it needs to run and what was found of it.
struct Contestant {
  Session session;
  std::vector<int32_t> ids;
  std::vector<KvCache> caches = {};
  SpeedResult result = {};
};

void refuse_too_long(const SpeedOptions& o, int64_t context) {
  if (o.prefill + o.decode <= context) return;
  throw invalid_argument(
      fmt::format("a prefill of {} and a decode of {} tokens do not fit the context of {}",
                  o.prefill, o.decode, context));
}

Contestant contestant(const Decoder& model, const SpeedOptions& o) {
  const int64_t length = o.prefill + o.decode;
  refuse_too_long(o, model.config().context);
  Contestant out{Session(model), std::vector<int32_t>(static_cast<size_t>(length))};
  const auto words = static_cast<size_t>(model.config().vocab_size);
  for (size_t i = 0; i < out.ids.size(); ++i)
    out.ids[i] = static_cast<int32_t>((i * 7919 + 13) % words);
  for (int64_t i = 0; i < o.sequences; ++i) out.caches.push_back(model.make_cache(length, o.kv));
  return out;
}

// Seconds that the first of the prompts took.
double read_prompts(Contestant& c, const SpeedOptions& o, const Exec& exec) {
  const auto prompt = std::span<const int32_t>(c.ids).first(static_cast<size_t>(o.prefill));
  double seconds = 0;
  for (KvCache& cache : c.caches) {
    cache.clear();
    const auto start = Clock::now();
    c.session.run(prompt, cache, Decoder::Logits::last, exec);
    if (&cache == &c.caches.front()) seconds = seconds_of(start);
  }
  return seconds;
}

double write_behind(Contestant& c, const SpeedOptions& o, const Exec& exec) {
  std::vector<Decoder::Item> batch(c.caches.size());
  for (size_t s = 0; s < batch.size(); ++s) batch[s].cache = &c.caches[s];
  const auto start = Clock::now();
  for (int64_t i = 0; i < o.decode; ++i) {
    exec.check_stop();
    for (Decoder::Item& item : batch)
      item.ids = std::span(c.ids).subspan(static_cast<size_t>(o.prefill + i), 1);
    c.session.run(batch, exec);
  }
  return seconds_of(start);
}

void run_once(Contestant& c, const SpeedOptions& o, const Exec& exec, bool timed) {
  const double prefill = read_prompts(c, o, exec), decode = write_behind(c, o, exec);
  if (!timed) return;
  c.result.prefill.seconds.push_back(prefill);
  c.result.decode.seconds.push_back(decode);
}

SpeedResult finished(Contestant& c, const SpeedOptions& o, double waited) {
  SpeedResult out = std::move(c.result);
  out.prefill_tokens_per_second = rate(static_cast<double>(o.prefill), out.prefill);
  out.decode_tokens_per_second = rate(static_cast<double>(o.decode * o.sequences), out.decode);
  out.waited_share = waited;
  return out;
}

}  // namespace

std::vector<SpeedResult> measure_speed(std::span<const Decoder* const> models,
                                       const SpeedOptions& o, const Exec& exec) {
  std::vector<Contestant> all;
  std::vector<RoundWork> works;
  all.reserve(models.size());
  works.reserve(models.size());
  for (const Decoder* model : models) all.push_back(contestant(*model, o));
  for (Contestant& c : all) works.push_back([&](bool timed) { run_once(c, o, exec, timed); });
  const double waited = run_rounds(works, {o.runs, o.warmup, "bench"}, exec);
  std::vector<SpeedResult> out;
  out.reserve(all.size());
  for (Contestant& c : all) out.push_back(finished(c, o, waited));
  return out;
}

SpeedResult measure_speed(const Decoder& model, const SpeedOptions& o, const Exec& exec) {
  const Decoder* one[] = {&model};
  return measure_speed(one, o, exec).front();
}

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace nibble
