// The block types of GGUF (ggml-quants.c) that hold more than a scale a group: steps from an offset
// (q4_1, q5_1), scales in two levels, a byte of a group times an f16 of 256 inputs (the K-quants),
// and values of a table (iq4; those of codebooks, which are only read). Q4_0, Q5_0 and Q8_0 are
// int4, int5 and int8 with groups of 32.
#include <array>

#include "nibble/quant/number.h"

namespace nibble {
namespace {

float signed_byte(uint8_t byte) { return static_cast<float>(static_cast<int8_t>(byte)); }

const ScaleTraits kHalves = {"f16", [](DType) { return DType::f16; }};
const ScaleTraits kTwoLevels = {"i8", [](DType) { return DType::i8; }, SuperScale::inputs,
                                byte_values<signed_byte>, ScaleType::blocks};

NumberTraits blocks(std::string_view name, int bits, int64_t group, bool offsets,
                    int64_t block_bytes) {
  NumberTraits out;
  out.name = name;
  out.kind = NumberKind::blocks;
  out.bits = bits;
  out.parts = kA8Part | kA8FullPart | kA8StaticPart;
  out.default_group = group;
  out.offsets = offsets;
  out.scales = &kHalves;
  out.block = {group, block_bytes};
  return out;
}

// Scales of `scale_bits`, with a sign where there are no offsets.
NumberTraits two_levels(std::string_view name, int bits, int64_t group, bool offsets,
                        int scale_bits, std::string_view ragged, int64_t block_bytes) {
  NumberTraits out = blocks(name, bits, group, offsets, block_bytes);
  out.block.elements = kSuperBlock;
  const int half = 1 << (scale_bits - 1);
  out.scales = &kTwoLevels;
  out.ragged = ragged;
  out.scale_bytes = {offsets ? 0 : -half, offsets ? 2 * half - 1 : half - 1};
  return out;
}

// Made for weights that are distributed normally: close steps near 0.
constexpr std::array<float, 16> kIq4 = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};

std::span<const float> iq4_values() { return kIq4; }

// Ties go to the lower value.
void nearest_iq4(std::span<const float> x, std::span<uint8_t> codes) {
  for (size_t i = 0; i < x.size(); ++i) {
    uint8_t code = 0;
    while (code < 15 && x[i] > (kIq4[code] + kIq4[code + 1]) / 2) ++code;
    codes[i] = code;
  }
}

// What codebooks are made of, in ascending order; no code names the values behind them.
constexpr std::array<float, 16> kIq1 = {-9, -7, -1, 1, 7, 9}, kIq2 = {-43, -25, -8, 8, 25, 43},
                                kIq3Xxs = {-62, -52, -44, -36, -28, -20, -12, -4,
                                           4,   12,  20,  28,  36,  44,  52,  62},
                                kIq3S = {-15, -13, -11, -9, -7, -5, -3, -1,
                                         1,   3,   5,   7,  9,  11, 13, 15};
template <const std::array<float, 16>& kValues>
std::span<const float> values_of() {
  return kValues;
}

// Scales are odd, up to 2^scale_bits - 1.
NumberTraits codebook(std::string_view name, std::span<const float> (*values)(), int64_t group,
                      int scale_bits, int64_t block_bytes) {
  NumberTraits out = two_levels(name, 4, group, false, scale_bits, "", block_bytes);
  out.parts = 0;
  out.scale_bytes = {1, (1 << scale_bits) - 1};
  out.kernel = WeightType::table;
  out.table = values;
  out.only_read = true;
  return out;
}

NumberTraits iq4(NumberTraits out) {
  out.kernel = WeightType::table;
  out.parts = 0;
  out.table = iq4_values;
  out.nearest = nearest_iq4;
  return out;
}

}  // namespace

const NumberTraits& q4_1_number() {
  static const NumberTraits kRow = blocks("q4_1", 4, 32, true, 20);
  return kRow;
}

const NumberTraits& q5_1_number() {
  static const NumberTraits kRow = blocks("q5_1", 5, 32, true, 24);
  return kRow;
}

const NumberTraits& q2_k_number() {
  static const NumberTraits kRow = two_levels("q2_k", 2, 16, true, 4, "int4:g32", 84);
  return kRow;
}

const NumberTraits& q3_k_number() {
  static const NumberTraits kRow = two_levels("q3_k", 3, 16, false, 6, "int4:g32", 110);
  return kRow;
}

const NumberTraits& q4_k_number() {
  static const NumberTraits kRow = two_levels("q4_k", 4, 32, true, 6, "int5:g32", 144);
  return kRow;
}

const NumberTraits& q5_k_number() {
  static const NumberTraits kRow = two_levels("q5_k", 5, 32, true, 6, "q5_1", 176);
  return kRow;
}

const NumberTraits& q6_k_number() {
  static const NumberTraits kRow = two_levels("q6_k", 6, 16, false, 8, "int8:g32", 210);
  return kRow;
}

const NumberTraits& iq4_nl_number() {
  static const NumberTraits kRow = iq4(blocks("iq4_nl", 4, 32, false, 18));
  return kRow;
}

const NumberTraits& iq4_xs_number() {
  static const NumberTraits kRow = iq4(two_levels("iq4_xs", 4, 32, false, 6, "iq4_nl", 136));
  return kRow;
}

const NumberTraits& iq1_s_number() {
  static const NumberTraits kRow = codebook("iq1_s", values_of<kIq1>, 32, 4, 50);
  return kRow;
}

const NumberTraits& iq1_m_number() {
  static const NumberTraits kRow = codebook("iq1_m", values_of<kIq1>, 16, 4, 56);
  return kRow;
}

const NumberTraits& iq2_xxs_number() {
  static const NumberTraits kRow = codebook("iq2_xxs", values_of<kIq2>, 32, 5, 66);
  return kRow;
}

const NumberTraits& iq2_xs_number() {
  static const NumberTraits kRow = codebook("iq2_xs", values_of<kIq2>, 16, 5, 74);
  return kRow;
}

const NumberTraits& iq2_s_number() {
  static const NumberTraits kRow = codebook("iq2_s", values_of<kIq2>, 16, 5, 82);
  return kRow;
}

const NumberTraits& iq3_xxs_number() {
  static const NumberTraits kRow = codebook("iq3_xxs", values_of<kIq3Xxs>, 32, 5, 98);
  return kRow;
}

const NumberTraits& iq3_s_number() {
  static const NumberTraits kRow = codebook("iq3_s", values_of<kIq3S>, 32, 5, 110);
  return kRow;
}

}  // namespace nibble
