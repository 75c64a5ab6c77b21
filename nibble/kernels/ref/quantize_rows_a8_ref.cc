#include <algorithm>
#include <bit>
#include <cmath>

#include "nibble/kernels/kernel.h"

namespace nibble {
namespace {

// The largest magnitude, compared as bits: NaN counts as the largest of all.
float absmax(const float* x, int64_t k) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < k; ++i)
    largest = std::max(largest, std::bit_cast<uint32_t>(x[i]) & 0x7FFFFFFFu);
  return std::bit_cast<float>(largest);
}

void quantize_rows(const float* x, int64_t m, int64_t k, int64_t x_stride, int8_t* codes,
                   int64_t code_stride, float* row_scales) {
  for (int64_t r = 0; r < m; ++r, x += x_stride, codes += code_stride) {
    const float scale = absmax(x, k) / 127.0f;
    row_scales[r] = scale;
    std::fill(codes, codes + code_stride, int8_t{0});
    if (scale == 0 || !std::isfinite(scale)) continue;
    for (int64_t i = 0; i < k; ++i) {
      const float q = std::nearbyint(std::clamp(x[i] / scale, -127.0f, 127.0f));
      codes[i] = static_cast<int8_t>(q);
    }
  }
}

}  // namespace

extern const Kernel quantize_rows_a8_ref;
constinit const Kernel quantize_rows_a8_ref = {.name = "quantize_rows_a8_ref",
                                               .quantize_rows = quantize_rows};

}  // namespace nibble
