// tests/golden/quant/float_formats.json: weights as other people's code quantizes them.
#pragma once

#include <bit>
#include <cstdint>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace nibble::test {

inline const nlohmann::json& float_goldens() {
  static const nlohmann::json kAll = [] {
    std::ifstream in("tests/golden/quant/float_formats.json");
    if (!in) throw std::runtime_error("run the tests from the repository root");
    return nlohmann::json::parse(in);
  }();
  return kAll;
}

/// Eight hexadecimal digits a value: the bits of an f32.
inline std::vector<float> floats_of(const std::string& hex) {
  std::vector<float> out;
  for (size_t i = 0; i < hex.size(); i += 8)
    out.push_back(
        std::bit_cast<float>(static_cast<uint32_t>(std::stoul(hex.substr(i, 8), nullptr, 16))));
  return out;
}

inline std::vector<uint8_t> bytes_of(const std::string& hex) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i < hex.size(); i += 2)
    out.push_back(static_cast<uint8_t>(std::stoul(hex.substr(i, 2), nullptr, 16)));
  return out;
}

inline std::vector<float> golden_floats(const std::string& key) {
  return floats_of(float_goldens().at(key).get<std::string>());
}

inline std::vector<uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<uint32_t> out;
  for (const float v : values) out.push_back(std::bit_cast<uint32_t>(v));
  return out;
}

}  // namespace nibble::test
