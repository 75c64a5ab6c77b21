#include "nibble/report/speed_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/counted.h"
#include "nibble/report/numbers.h"

namespace nibble {
namespace {

constexpr double kWideInterval =
    1.25;  // an interval's end over its beginning, from which on it is told
constexpr double kBusyWait = 0.05, kBusySpread = 0.5;
constexpr int64_t kRoundsToCompare = 6;  // what median_interval() needs

std::string times(double value) {
  return format_fixed(value, value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2);
}

// Whether the rounds agree on one figure.
bool carries_figure(const Speedup& s) {
  const Speed speed = judge_speed(s);
  return speed != Speed::unknown && speed != Speed::unclear &&
         s.interval->high <= kWideInterval * s.interval->low;
}

double largest_spread(const Measurement& m) {
  double out = 0;
  for (const TimedWork& w : timed_works(m)) out = std::max(out, w.latency->spread());
  return out;
}

struct Disturbance {
  double waited = 0, spread = 0;
  bool busy() const { return waited > kBusyWait || spread > kBusySpread; }
};

Disturbance disturbance(const std::vector<Measurement>& models) {
  Disturbance out;
  for (const Measurement& m : models) {
    out.waited = std::max(out.waited, m.waited_share);
    out.spread = std::max(out.spread, largest_spread(m));
  }
  return out;
}

}  // namespace

std::vector<TimedWork> timed_works(const Measurement& m) {
  const Throughput& t = m.throughput;
  std::vector<TimedWork> out;
  const auto add = [&](const TimedWork& w) {
    if (w.latency->runs() > 0) out.push_back(w);
  };
  add({"prefill", "prefill/s", t.prefill_tokens_per_second, &t.prefill, &t.base_prefill});
  add({"decode", "decode/s", t.decode_tokens_per_second, &t.decode, &t.base_decode});
  add({"generation", "tokens/s", m.tokens_per_second, &m.latency, &m.base_latency});
  return out;
}

Speedup speedup_of(const Measurement& m) { return speedup(m.latency, m.base_latency); }

double base_tokens_per_second(const Measurement& m) {
  return m.tokens_per_second * ratio(m.latency.median(), m.base_latency.median());
}

std::string format_speedup(const Speedup& s, std::string_view sign) {
  if (!s.interval) return "-";
  if (carries_figure(s)) return fmt::format("{}{}", times(s.median), sign);
  return fmt::format("{}-{}{}", times(s.interval->low), times(s.interval->high), sign);
}

std::string format_interval(const Speedup& s) {
  if (!carries_figure(s)) return "";
  return fmt::format("{}-{}", times(s.interval->low), times(s.interval->high));
}

std::string format_speedup_and_interval(const Speedup& s, std::string_view sign) {
  const std::string interval = format_interval(s);
  return format_speedup(s, sign) + (interval.empty() ? "" : " (" + interval + ")");
}

std::string describe_speed(const Speedup& s, std::string_view sign) {
  if (s.rounds == 0) return "";
  if (!s.interval) {
    return fmt::format("timed in too few rounds to compare its speed ({} of {})", s.rounds,
                       kRoundsToCompare);
  }
  const auto with_sign = [&](double value) { return fmt::format("{}{}", times(value), sign); };
  const std::string low = with_sign(s.interval->low), high = with_sign(s.interval->high);
  switch (judge_speed(s)) {
    case Speed::unclear:
      return fmt::format("as fast, within the noise: {} to {}", low, high);
    case Speed::same:
      return fmt::format("as fast ({} to {})", low, high);
    default:
      break;
  }
  if (!carries_figure(s)) return fmt::format("between {} and {} as fast", low, high);
  return fmt::format("{} as fast ({} to {})", with_sign(s.median), low, high);
}

std::string_view name_of(Speed speed) {
  switch (speed) {
    case Speed::unknown:
      return "unknown";
    case Speed::slower:
      return "slower";
    case Speed::same:
      return "same";
    case Speed::unclear:
      return "unclear";
    case Speed::faster:
      return "faster";
  }
  return "";
}

std::string format_rate_and_spread(double per_second, const Latency& l) {
  const double amount = per_second * l.median();
  return format_rate_range(per_second, amount / l.upper_quartile(), amount / l.lower_quartile());
}

std::string format_seconds_and_spread(const Latency& l) {
  return format_seconds_range(l.median(), l.lower_quartile(), l.upper_quartile());
}

int64_t fewest_rounds(const std::vector<Measurement>& models) {
  int64_t least = 0;
  for (const Measurement& m : models) {
    for (const TimedWork& w : timed_works(m))
      least = least == 0 ? w.latency->runs() : std::min(least, w.latency->runs());
  }
  return least;
}

bool busy(const std::vector<Measurement>& models) { return disturbance(models).busy(); }

std::string busy_words(double waited_share, double spread) {
  std::vector<std::string> signs;
  if (waited_share > kBusyWait)
    signs.push_back(
        fmt::format("no processor for {} of the time", format_percent(waited_share, 0)));
  if (spread > kBusySpread)
    signs.push_back(fmt::format("times {} apart", format_percent(spread, 0)));
  if (signs.empty()) return "";
  return fmt::format("The machine was busy: speeds are lower bounds ({}).", fmt::join(signs, ", "));
}

std::string busy_words(const std::vector<Measurement>& models) {
  const Disturbance d = disturbance(models);
  return busy_words(d.waited, d.spread);
}

}  // namespace nibble
