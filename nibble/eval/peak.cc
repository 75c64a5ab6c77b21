#include "nibble/eval/peak.h"

#include <algorithm>
#include <chrono>

#include "nibble/core/team.h"
#include "nibble/eval/bandwidth.h"
#include "nibble/kernels/kernels.h"

namespace nibble {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int64_t kRounds = 50'000;  // of one pass: a tenth of a millisecond or more

}  // namespace

double measure_peak(const Kernel& kernel, const PeakOptions& o) {
  if (kernel.spin == nullptr) return 0;
  double best = 0;
  const auto begin = Clock::now();
  do {
    Clock::time_point start;
    int64_t each = 0;
    run_team(o.threads, [&](Team& team) {
      team.sync();
      if (team.rank() == 0) start = Clock::now();
      const int64_t done = kernel.spin(kRounds);
      if (team.rank() == 0) each = done;
    });
    const std::chrono::duration<double> took = Clock::now() - start;
    best = std::max(best, 2 * static_cast<double>(each * std::max(o.threads, 1)) / took.count());
  } while (Clock::now() - begin < std::chrono::duration<double>(o.seconds));
  return best;
}

Roof measure_roof(int threads) {
  const GemmTraits codes{
      .n = 64, .k = 64, .weight = WeightType::codes, .bits = 4, .group = 64, .a8 = true};
  const GemmTraits floats{
      .n = 64, .k = 64, .weight = WeightType::f32, .bits = 0, .group = 64, .a8 = false};
  BandwidthOptions b;
  b.threads = threads;
  b.bytes = std::min(b.bytes, usable_memory_bytes() / 4);
  const PeakOptions p{.threads = threads};
  return {measure_read_bandwidth(b), measure_peak(choose_gemm(codes), p),
          measure_peak(choose_gemm(floats), p)};
}

}  // namespace nibble
