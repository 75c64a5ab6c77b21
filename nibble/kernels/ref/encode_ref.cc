// EncodeOps as they are defined.
#include <algorithm>
#include <cmath>

#include "nibble/core/float_formats.h"
#include "nibble/kernels/encode.h"

namespace nibble {
namespace {

void widen_f16(const uint16_t* x, int64_t n, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = f16_to_f32(x[i]);
}

bool extremes(const float* x, int64_t n, float* low, float* high) {
  bool finite = true;
  *low = *high = 0;
  for (int64_t i = 0; i < n; ++i) {
    finite = finite && std::isfinite(x[i]);
    *low = std::min(*low, x[i]);
    *high = std::max(*high, x[i]);
  }
  return finite;
}

void encode(const float* x, int64_t n, const EncodeGrid& g, uint8_t* codes) {
  for (int64_t i = 0; i < n; ++i) {
    const float v = g.scale == 0 ? 0 : std::clamp(x[i] / g.scale, g.low, g.high);
    codes[i] = static_cast<uint8_t>(static_cast<int32_t>(std::nearbyint(v)) + g.zero);
  }
}

void pack4(const uint8_t* codes, int64_t n, uint8_t* out) {
  for (int64_t i = 0; i < n; i += 2)
    out[i / 2] = static_cast<uint8_t>(codes[i] | (i + 1 < n ? codes[i + 1] << 4 : 0));
}

constexpr EncodeOps kOps = {"ref", widen_f16, extremes, encode, pack4};

}  // namespace

const EncodeOps& ref_encode_ops() { return kOps; }

}  // namespace nibble
