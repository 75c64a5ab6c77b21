// Speeds in words and cells. No figure is given that the spread of its own measurement does not
// carry: where the times leave a wide range, or no difference, the range stands alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/eval/measurement.h"
#include "nibble/eval/speedup.h"

namespace nibble {

/// A kind of work that a model was timed at.
struct TimedWork {
  std::string_view key;    ///< in JSON: "prefill", "decode", "generation"
  std::string_view title;  ///< of a column
  double tokens_per_second = 0;
  const Latency* latency = nullptr;
  const Latency* base_latency = nullptr;  ///< empty for the baseline itself

  Speedup against_base() const { return speedup(*latency, *base_latency); }
};
/// What a model was timed at, as tables, JSON and pages list it. It must outlive them.
std::vector<TimedWork> timed_works(const Measurement& m);
/// The whole generation's, which verdicts speak of.
Speedup speedup_of(const Measurement& m);
/// What the baseline reached in the rounds of this model.
double base_tokens_per_second(const Measurement& m);

/// "1.71x", or "0.80-1.40x" where that is all that can be told; "-" where nothing can.
/// `sign`: "x" for a terminal, "×" for a page.
std::string format_speedup(const Speedup& s, std::string_view sign);
/// The same with its interval: "1.71x (1.65-1.80)".
std::string format_speedup_and_interval(const Speedup& s, std::string_view sign);
/// The interval alone, where a figure stands before it: "1.65-1.80"; else empty.
std::string format_interval(const Speedup& s);
/// To go on behind "NAME is": "1.71x as fast (1.65x to 1.80x)", "between 20x and 66x as fast", "as
/// fast, within the noise: 0.80x to 1.40x", "timed in too few rounds to compare its speed (3 of
/// 6)". Empty where nothing was timed.
std::string describe_speed(const Speedup& s, std::string_view sign);
/// "faster", "unclear".
std::string_view name_of(Speed speed);

/// With the quartiles, both in the unit of the median: "1.83 k (1.79-1.85)".
std::string format_rate_and_spread(double per_second, const Latency& latency);
std::string format_seconds_and_spread(const Latency& latency);

/// The least that a model was timed; 0 where none was.
int64_t fewest_rounds(const std::vector<Measurement>& models);

/// Whether something else kept the machine busy while a model was timed: threads ready to run had
/// no processor for more than 5 % of the time, or the quartiles of the same work lie more than 50 %
/// apart.
bool busy(const std::vector<Measurement>& models);
/// What to say of it, one sentence; empty where it was not.
std::string busy_words(const std::vector<Measurement>& models);
/// The same of what was timed beside no model.
std::string busy_words(double waited_share, double spread);

/// What each model was timed at, as a table for a terminal `width` columns wide and a line that
/// explains it; nothing where none was timed.
std::string render_speeds(const std::vector<Measurement>& models, int width);

}  // namespace nibble
