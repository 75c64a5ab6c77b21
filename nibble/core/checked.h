// Arithmetic on sizes that come from outside: every product, sum and padding is checked.
#pragma once

#include <cstdint>
#include <optional>

namespace nibble {

inline std::optional<int64_t> checked_mul(int64_t a, int64_t b) {
  int64_t out;
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

inline std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t out;
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

/// a * b, or the largest number where it does not fit: a limit checked afterwards then refuses it.
inline int64_t saturating_mul(int64_t a, int64_t b) {
  return checked_mul(a, b).value_or(INT64_MAX);
}

/// a / b rounded up, for a >= 0 and b > 0; cannot overflow.
inline constexpr int64_t ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0 ? 1 : 0); }

}  // namespace nibble
