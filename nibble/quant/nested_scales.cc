#include "nibble/quant/nested_scales.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "nibble/core/checked.h"

namespace nibble {
namespace {

// The map as bitsandbytes makes it, down to the rounding of PyTorch's linspace: for i from 0 to 6
// the means of neighbours among 2^i + 1 points from 0.1 to 1, times 10^(i - 6), with both signs;
// then 0 and 1.
std::array<float, 256> make_map() {
  constexpr float kPowers[] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
  std::array<float, 256> out;
  size_t count = 0;
  for (int i = 0; i < 7; ++i) {
    const int points = (1 << i) + 1;
    const float step = (1.0f - 0.1f) / static_cast<float>(points - 1);
    const auto point = [&](int j) {
      return j < points / 2 ? std::fma(step, static_cast<float>(j), 0.1f)
                            : std::fma(-step, static_cast<float>(points - 1 - j), 1.0f);
    };
    for (int j = 0; j + 1 < points; ++j) {
      const float value = kPowers[i] * ((point(j) + point(j + 1)) / 2);
      out[count++] = value;
      out[count++] = -value;
    }
  }
  out[count++] = 0;
  out[count++] = 1;
  std::sort(out.begin(), out.end());
  return out;
}

uint8_t nearest(float x) {
  const auto map = dynamic_map();
  const auto above = std::lower_bound(map.begin(), map.end(), x);
  if (above == map.begin()) return 0;
  const auto below = above - 1;
  const bool lower = above == map.end() || x - *below <= *above - x;
  return static_cast<uint8_t>((lower ? below : above) - map.begin());
}

}  // namespace

std::span<const float> dynamic_map() {
  static const std::array<float, 256> kMap = make_map();
  return kMap;
}

NestedScales quantize_scales(const Tensor& scales) {
  const auto values = scales.data<float>();
  const auto blocks = ceil_div(scales.elements(), kNestedBlock);
  NestedScales out{Tensor(DType::u8, scales.shape()), Tensor(DType::f32, Shape{blocks}),
                   Tensor(DType::f32, Shape{1})};
  double sum = 0;
  for (const float v : values) sum += v;
  const auto offset = static_cast<float>(sum / static_cast<double>(values.size()));
  out.offsets.mutable_data<float>()[0] = offset;
  const auto codes = out.codes.mutable_data<uint8_t>();
  for (size_t begin = 0; begin < values.size(); begin += kNestedBlock) {
    const size_t end = std::min(begin + kNestedBlock, values.size());
    float largest = 0;
    for (size_t i = begin; i < end; ++i) largest = std::max(largest, std::fabs(values[i] - offset));
    out.scales.mutable_data<float>()[begin / kNestedBlock] = largest;
    for (size_t i = begin; i < end; ++i)
      codes[i] = nearest(largest == 0 ? 0 : (values[i] - offset) / largest);
  }
  return out;
}

}  // namespace nibble
