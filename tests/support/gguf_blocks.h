// Random blocks of GGUF's types.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/random.h"
#include "nibble/format/gguf_type.h"

namespace nibble::test {

struct GgufBlockRow {
  std::string_view type;
  std::vector<size_t> halves;  ///< where the f16 of a block stand
  uint16_t scale;              ///< an f16 that makes values of about 0.1
};
inline const std::vector<GgufBlockRow>& gguf_block_rows() {
  // 2^-5 is 0x2800, and each power of two below 0x400 less.
  static const std::vector<GgufBlockRow> kRows = {
      {"Q4_0", {0}, 0x2400},    {"Q4_1", {0, 2}, 0x2400}, {"Q5_0", {0}, 0x2000},
      {"Q5_1", {0, 2}, 0x2000}, {"Q8_0", {0}, 0x1400},    {"Q2_K", {80, 82}, 0x1C00},
      {"Q3_K", {108}, 0x1400},  {"Q4_K", {0, 2}, 0x0C00}, {"Q5_K", {0, 2}, 0x0800},
      {"Q6_K", {208}, 0x0400},  {"IQ4_NL", {0}, 0x1400},  {"IQ4_XS", {0}, 0x0400},
      {"IQ2_XXS", {0}, 0x1800}, {"IQ2_XS", {0}, 0x1800},  {"IQ2_S", {0}, 0x1800},
      {"IQ3_XXS", {0}, 0x1400}, {"IQ3_S", {0}, 0x1400},   {"IQ1_S", {0}, 0x2400},
      {"IQ1_M", {}, 0x2400},    {"TQ1_0", {52}, 0x3000},  {"TQ2_0", {64}, 0x3000},
      {"Q1_0", {0}, 0x3000},    {"Q2_0", {0}, 0x3000},    {"MXFP4", {}, 0},
      {"NVFP4", {}, 0}};
  return kRows;
}

/// `count` elements: any bytes, but for scales that are finite and moderate.
inline std::string random_gguf_blocks(const GgufBlockRow& row, int64_t count, PyRandom& random) {
  const GgufType& type = *find_gguf_type(row.type);
  std::string out;
  for (int64_t b = 0; b < count / type.elements; ++b) {
    std::string block;
    for (int64_t i = 0; i < type.bytes; ++i) block += static_cast<char>(random.below(256));
    for (const size_t at : row.halves) std::memcpy(&block[at], &row.scale, sizeof row.scale);
    for (size_t i = 0; row.type == "IQ1_M" && i < 4; ++i) {
      const int quarter = row.scale >> (4 * i) & 15;
      block[49 + 2 * i] = static_cast<char>((block[49 + 2 * i] & 15) | quarter << 4);
    }
    if (row.type == "MXFP4") block[0] = static_cast<char>(120 + random.below(4));
    if (row.type == "NVFP4") {
      for (size_t i = 0; i < 4; ++i) block[i] = static_cast<char>(0x08 + random.below(16));
    }
    out += block;
  }
  return out;
}

}  // namespace nibble::test
