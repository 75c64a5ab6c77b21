// A JSON number as a double, the same in every locale.
#pragma once

#include <optional>
#include <string_view>

namespace nibble {

/// The nearest double of a number in JSON's grammar; zero (with its sign) where that is nearest.
/// Nothing where the number is too large for a double.
std::optional<double> json_number(std::string_view text);

}  // namespace nibble
