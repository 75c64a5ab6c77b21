#include "nibble/core/json_number.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace nibble {
namespace {

// The e of d.ddd x 10^e, roughly: its sign is right wherever |e| > 1, and it is bounded.
int64_t decimal_exponent(std::string_view text) {
  constexpr int64_t kBound = int64_t{1} << 40;
  const size_t mark = std::min(text.find_first_of("eE"), text.size());
  const std::string_view mantissa = text.substr(0, mark);
  const size_t first = std::min(mantissa.find_first_of("123456789"), mantissa.size());
  const size_t point = std::min(mantissa.find('.'), mantissa.size());
  const auto shift = static_cast<int64_t>(point) - static_cast<int64_t>(first);
  if (mark == text.size()) return shift;
  std::string_view exponent = text.substr(mark + 1);
  const bool negative = exponent.starts_with('-');
  if (negative || exponent.starts_with('+')) exponent.remove_prefix(1);
  int64_t value = 0;
  for (const char c : exponent) value = std::min(kBound, value * 10 + (c - '0'));
  return shift + (negative ? -value : value);
}

}  // namespace

std::optional<double> json_number(std::string_view text) {
  double value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (result.ec == std::errc()) return value;
  if (decimal_exponent(text) > 0) return std::nullopt;
  return text.starts_with('-') ? -0.0 : 0.0;
}

std::string_view python_number_word(std::string_view text) {
  for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
    if (text.starts_with(word)) return word;
  }
  return {};
}

}  // namespace nibble
