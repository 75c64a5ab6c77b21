// Counts as people read them: "1 sample", "2 samples".
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace nibble {

/// `one` where n is 1, else `many` (by default `one` and an s).
inline std::string noun(int64_t n, std::string_view one, std::string_view many = {}) {
  if (n == 1) return std::string(one);
  return many.empty() ? std::string(one) + "s" : std::string(many);
}

/// The number and its noun().
inline std::string counted(int64_t n, std::string_view one, std::string_view many = {}) {
  return fmt::format("{} {}", n, noun(n, one, many));
}

}  // namespace nibble
