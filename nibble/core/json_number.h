// A JSON number as a double, the same in every locale.
#pragma once

#include <optional>
#include <string_view>

namespace nibble {

/// The nearest double of a number in JSON's grammar; zero (with its sign) where that is nearest.
/// Nothing where the number is too large for a double. Python's words below are numbers too.
std::optional<double> json_number(std::string_view text);

/// The word that `text` begins with for a number that is not finite, as Python's json writes it:
/// NaN, Infinity or -Infinity. Empty where it begins otherwise.
std::string_view python_number_word(std::string_view text);

}  // namespace nibble
