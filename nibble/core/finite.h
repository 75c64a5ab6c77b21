// Numbers that are none never become a result.
#pragma once

#include <span>

namespace nibble {

/// True where no value is NaN or infinite.
bool all_finite(std::span<const float> values);

/// The largest |value|; 0 of none. NaN is passed over.
float largest_magnitude(std::span<const float> values);

}  // namespace nibble
