// An input of several parts, a zero byte between each two.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

/// The first N parts; those that are not there are empty, the last one is all that is left.
template <size_t N>
std::array<std::string_view, N> parts_of(const uint8_t* data, size_t size) {
  std::array<std::string_view, N> out;
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  for (size_t i = 0; i < N; ++i) {
    const size_t end = i + 1 < N ? std::min(rest.find('\0'), rest.size()) : rest.size();
    out[i] = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return out;
}
