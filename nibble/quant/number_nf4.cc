// nf4, quantiles of a normal distribution (Dettmers et al., QLoRA, 2023), and fp4, the 4-bit float
// of bitsandbytes, scaled so that its largest value is 1. Ties go to the lower value, as
// bitsandbytes has it. A scale is the largest magnitude, in f32 or doubly quantized.
#include <algorithm>
#include <array>
#include <cmath>

#include "nibble/quant/nested_scales.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

constexpr std::array<float, 16> kNf4 = {
    -1.0f,
    -0.6961928009986877f,
    -0.5250730514526367f,
    -0.39491748809814453f,
    -0.28444138169288635f,
    -0.18477343022823334f,
    -0.09105003625154495f,
    0.0f,
    0.07958029955625534f,
    0.16093020141124725f,
    0.24611230194568634f,
    0.33791524171829224f,
    0.44070982933044434f,
    0.5626170039176941f,
    0.7229568362236023f,
    1.0f,
};
constexpr std::array<float, 8> kFp4Twelfths = {0, 0.0625f, 8, 12, 4, 6, 2, 3};

std::array<float, 16> make_fp4() {
  std::array<float, 16> out;
  for (size_t i = 0; i < 8; ++i) {
    out[i] = kFp4Twelfths[i] / 12;
    out[i + 8] = i == 0 ? 0.0f : -out[i];  // bitsandbytes has no negative zero
  }
  return out;
}

std::span<const float> nf4_values() { return kNf4; }

std::span<const float> fp4_values() {
  static const std::array<float, 16> kFp4 = make_fp4();
  return kFp4;
}

// A table in ascending order: a value's rank is the number of midpoints below it.
struct Ranks {
  std::array<float, 15> middle;
  std::array<uint8_t, 16> code;
};

Ranks rank(std::span<const float> table) {
  Ranks out;
  std::vector<uint8_t> order;
  for (uint8_t i = 0; i < 16; ++i) order.push_back(i);
  const auto below = [&](uint8_t a, uint8_t b) { return table[a] < table[b]; };
  std::stable_sort(order.begin(), order.end(), below);
  // Of two codes for zero only the first is used.
  const auto same = [&](uint8_t a, uint8_t b) { return table[a] == table[b]; };
  order.erase(std::unique(order.begin(), order.end(), same), order.end());
  out.middle.fill(INFINITY);
  for (size_t i = 0; i < order.size(); ++i) {
    out.code[i] = order[i];
    if (i > 0) out.middle[i - 1] = (table[order[i - 1]] + table[order[i]]) / 2;
  }
  return out;
}

void nearest_by_rank(const Ranks& ranks, std::span<const float> x, std::span<uint8_t> codes) {
  for (size_t i = 0; i < x.size(); ++i) {
    unsigned above = 0;
    for (const float middle : ranks.middle) above += x[i] > middle ? 1 : 0;
    codes[i] = ranks.code[above];
  }
}

void nearest_nf4(std::span<const float> x, std::span<uint8_t> codes) {
  static const Ranks kRanks = rank(kNf4);
  nearest_by_rank(kRanks, x, codes);
}

void nearest_fp4(std::span<const float> x, std::span<uint8_t> codes) {
  static const Ranks kRanks = rank(fp4_values());
  nearest_by_rank(kRanks, x, codes);
}

void choose_nested_scales(const Tensor& magnitudes, const RtnOptions& options,
                          QuantizedTensor& out) {
  out.scales = magnitudes;
  if (options.scale_dtype == DType::f32) return;
  NestedScales nested = quantize_scales(magnitudes);
  out.scales = std::move(nested.codes);
  out.super_scales = std::move(nested.scales);
  out.super_offsets = std::move(nested.offsets);
}

// Bytes (double quantization), or plain f32 where f32 was asked for.
const ScaleTraits kNested = {
    "u8 or f32", [](DType asked) { return asked == DType::f32 ? DType::f32 : DType::u8; },
    SuperScale::blocks, dynamic_map, ScaleType::nested};

NumberTraits four_bits(std::string_view name, std::vector<std::string_view> examples,
                       std::span<const float> (*table)(),
                       void (*nearest)(std::span<const float>, std::span<uint8_t>)) {
  NumberTraits out;
  out.name = name;
  out.kind = NumberKind::table;
  out.bits = 4;
  out.parts = kGroupPart;
  out.default_group = 64;
  out.kernel = WeightType::table;
  out.examples = std::move(examples);
  out.scales = &kNested;
  out.table = table;
  out.nearest = nearest;
  out.choose_scales = choose_nested_scales;
  return out;
}

}  // namespace

const NumberTraits& nf4_number() {
  static const NumberTraits kRow = four_bits("nf4", {"nf4:g64"}, nf4_values, nearest_nf4);
  return kRow;
}

const NumberTraits& fp4_number() {
  static const NumberTraits kRow = four_bits("fp4", {"fp4:g64"}, fp4_values, nearest_fp4);
  return kRow;
}

}  // namespace nibble
