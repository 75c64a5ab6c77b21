// RoundingOps, one lane at a time: the definition.
#include <algorithm>
#include <cmath>

#include "nibble/kernels/rounding.h"

namespace nibble {
namespace {

// In the middle between two the lower one.
float nearest(float x, float low, float high, const float* values) {
  if (values == nullptr) return std::nearbyint(std::min(std::max(x, low), high));
  int i = 0;
  while (i + 1 < kRoundingValues && x > (values[i] + values[i + 1]) / 2) ++i;
  return values[i];
}

void round_lane(const RoundTile& t, int64_t l) {
  t.error[l] = 0;
  for (int64_t j = 0; j < t.size; ++j) {
    float v = t.target[j * kRoundingLanes + l];
    for (int64_t i = 0; i < j; ++i)
      v += t.left[i * kRoundingLanes + l] * t.feedback[i * t.size + j];
    const float x = t.scale[l] == 0 ? 0 : v / t.scale[l];
    const float level = nearest(x, t.low[l], t.high[l], t.values);
    const float q = level * t.scale[l];
    t.level[j * kRoundingLanes + l] = level;
    t.left[j * kRoundingLanes + l] = t.target[j * kRoundingLanes + l] - q;
    t.error[l] += t.weight[j] * (v - q) * (v - q);
  }
}

void round(const RoundTile& t) {
  for (int64_t l = 0; l < kRoundingLanes; ++l) round_lane(t, l);
}

void round_row(const RoundRow& r) {
  for (int64_t j = 0; j < r.size; ++j) {
    const float s = r.scale[j], x = s == 0 ? 0 : r.v[j] / s;
    r.level[j] = nearest(x, r.low[j], r.high[j], r.values);
    r.left[j] = r.target[j] - r.level[j] * s;
    for (int64_t c = j + 1; c < r.size; ++c)
      r.v[c] += r.left[j] * r.feedback[j * kRoundingColumns + c];
  }
}

void combine(int64_t m, int64_t n, const float* a, int64_t lda, const float* x, float* y) {
  std::fill_n(y, n * kRoundingLanes, 0.0f);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j)
      for (int64_t l = 0; l < kRoundingLanes; ++l)
        y[j * kRoundingLanes + l] += a[i * lda + j] * x[i * kRoundingLanes + l];
}

void select(int64_t n, const float* take, const float* from, float* to) {
  for (int64_t i = 0; i < n; ++i)
    for (int64_t l = 0; l < kRoundingLanes; ++l)
      if (take[l] != 0) to[i * kRoundingLanes + l] = from[i * kRoundingLanes + l];
}

}  // namespace

const RoundingOps& ref_rounding_ops() {
  static constexpr RoundingOps kOps = {"ref", round, round_row, combine, select};
  return kOps;
}

}  // namespace nibble
