// A safetensors file of its header, whose length a fuzzer would seldom guess, and its data.
#pragma once

#include <string>
#include <string_view>

inline std::string safetensors_bytes(std::string_view header, std::string_view data) {
  std::string out;
  for (int i = 0; i < 8; ++i) out += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return out.append(header).append(data);
}
