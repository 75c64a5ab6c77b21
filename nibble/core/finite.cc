#include "nibble/core/finite.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

namespace nibble {

// Without a branch for each, so that the loop becomes vector code.
bool all_finite(std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7F800000;
  uint32_t strange = 0;
  for (const float v : values)
    strange |= static_cast<uint32_t>((std::bit_cast<uint32_t>(v) & kExponent) == kExponent);
  return strange == 0;
}

float largest_magnitude(std::span<const float> values) {
  float largest = 0;
  for (const float v : values) largest = std::max(largest, std::fabs(v));
  return largest;
}

}  // namespace nibble
