// The tables of the number types that have one, and rounding to them.
#include "nibble/quant/number.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "nibble/core/float_formats.h"
#include "nibble/quant/e2m1.h"
#include "nibble/quant/nested_scales.h"
#include "nibble/quant/scale.h"
#include "tests/quant/float_goldens.h"

namespace nibble {
namespace {

constexpr NumberType kFourBits[] = {NumberType::nf4, NumberType::fp4, NumberType::mxfp4,
                                    NumberType::nvfp4};

std::vector<uint8_t> codes_in(NumberType type, const std::vector<float>& x) {
  std::vector<uint8_t> out(x.size());
  number(type).nearest(x, out);
  return out;
}

uint8_t code_of(NumberType type, float x) { return codes_in(type, {x})[0]; }

// What bitsandbytes holds, bit for bit (BAD_INPUTS Q8).
TEST(Codebook, TablesAreThoseOfBitsandbytes) {
  const auto nf4 = number(NumberType::nf4).table(), fp4 = number(NumberType::fp4).table();
  EXPECT_EQ(test::bits_of({nf4.begin(), nf4.end()}), test::bits_of(test::golden_floats("nf4")));
  EXPECT_EQ(test::bits_of({fp4.begin(), fp4.end()}), test::bits_of(test::golden_floats("fp4")));
  const auto map = dynamic_map();
  EXPECT_EQ(test::bits_of({map.begin(), map.end()}),
            test::bits_of(test::golden_floats("dynamic_map")));
}

TEST(Numbers, EveryRowIsWholeAndFoundByItsName) {
  for (const NamedNumber& n : numbers()) {
    SCOPED_TRACE(n.traits.name);
    EXPECT_EQ(find_number(n.traits.name)->type, n.type);
    EXPECT_EQ(parse_any_scheme(n.traits.name).type, n.type);
    EXPECT_GT(n.traits.bits, 0);
    for (const std::string_view example : n.traits.examples)
      EXPECT_EQ(parse_scheme(example).type, n.type);
    const bool table = n.traits.table != nullptr, blocks = n.traits.kind == NumberKind::blocks;
    EXPECT_TRUE(table || n.traits.kind != NumberKind::table);
    EXPECT_EQ(n.traits.nearest != nullptr, table && !n.traits.only_read);
    EXPECT_EQ(n.traits.choose_scales != nullptr, table && !blocks);
    EXPECT_TRUE(blocks || n.traits.block.bytes == 0);
    EXPECT_EQ(n.traits.scale_bytes.high > 0, n.traits.scales->super == SuperScale::inputs);
    if (table) {
      EXPECT_EQ(n.traits.table().size(), size_t{1} << n.traits.bits);
    }
    EXPECT_EQ(n.traits.best_scale != nullptr, n.traits.kind == NumberKind::levels);
    // Scales that are bytes have values, and a kernel that reads them.
    const bool bytes = !is_scale_dtype(n.traits.scales->stored(DType::f16));
    EXPECT_EQ(n.traits.scales->values != nullptr, bytes);
  }
  EXPECT_EQ(find_number("int9"), nullptr);
}

TEST(Codebook, EveryValueIsItsOwnNearest) {
  for (const NumberType type : kFourBits) {
    const auto table = number(type).table();
    ASSERT_EQ(table.size(), 16u);
    for (uint8_t c = 0; c < 16; ++c) {
      const uint8_t got = code_of(type, table[c]);
      EXPECT_EQ(table[got], table[c]);
      const bool second_zero = type == NumberType::fp4 && c == 8;
      EXPECT_EQ(got, second_zero ? 0 : c) << static_cast<int>(type);
    }
  }
}

// Every other value is at least as far away as the one that was taken.
TEST(Codebook, NoValueIsNearerThanTheNearest) {
  for (const NumberType type : kFourBits) {
    const auto table = number(type).table();
    for (float x = -6.5f; x < 6.5f; x += 0.00371f) {
      const float got = std::fabs(table[code_of(type, x)] - x);
      for (const float v : table) EXPECT_LE(got, std::fabs(v - x) + 1e-7f) << x;
    }
  }
}

TEST(Codebook, TiesOfNf4AndFp4GoDownAndTheEndsHold) {
  const auto nf4 = number(NumberType::nf4).table();
  for (uint8_t c = 0; c + 1 < 16; ++c) {
    const float middle = (nf4[c] + nf4[c + 1]) / 2;
    EXPECT_EQ(code_of(NumberType::nf4, middle), c);
    EXPECT_EQ(code_of(NumberType::nf4, std::nextafter(middle, 2.0f)), c + 1);
  }
  for (const float big : {1.5f, 1e30f, std::numeric_limits<float>::infinity()}) {
    EXPECT_EQ(codes_in(NumberType::nf4, {big, -big}), (std::vector<uint8_t>{15, 0}));
    EXPECT_EQ(codes_in(NumberType::fp4, {big, -big}), (std::vector<uint8_t>{3, 11}));
    EXPECT_EQ(codes_in(NumberType::mxfp4, {7 * big, -7 * big}), (std::vector<uint8_t>{7, 15}));
  }
  EXPECT_EQ(codes_in(NumberType::nf4, {0.0f, -0.0f, 1e-45f}), (std::vector<uint8_t>{7, 7, 7}));
  EXPECT_EQ(codes_in(NumberType::fp4, {0.0f, -0.0f, -1e-45f}), (std::vector<uint8_t>{0, 0, 0}));
}

// FORMATS 1.5: the bounds of every E2M1 value, ties to even.
TEST(Codebook, E2m1RoundsTiesToEven) {
  const std::vector<float> ties{.25f, .75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f};
  const std::vector<uint8_t> even{0, 2, 2, 4, 4, 6, 6}, smaller{0, 1, 2, 3, 4, 5, 6};
  EXPECT_EQ(codes_in(NumberType::nvfp4, ties), even);
  for (size_t i = 0; i < ties.size(); ++i) {
    const auto at = [&](float x, E2m1Ties t) { return f32_to_e2m1(x, t); };
    EXPECT_EQ(at(ties[i], E2m1Ties::smaller), smaller[i]);
    EXPECT_EQ(at(-ties[i], E2m1Ties::even), even[i] | 8);
    for (const E2m1Ties t : {E2m1Ties::even, E2m1Ties::smaller}) {
      EXPECT_EQ(at(std::nextafter(ties[i], 9.0f), t), i + 1);
      EXPECT_EQ(at(std::nextafter(ties[i], 0.0f), t), i);
    }
  }
  EXPECT_EQ(f32_to_e2m1(-0.1f, E2m1Ties::even), 8);
  EXPECT_EQ(f32_to_e2m1(-0.1f, E2m1Ties::smaller), 0);
}

// OCP Microscaling: 255 is the one NaN; 0 is the smallest power, not zero.
TEST(Codebook, E8m0IsAPowerOfTwo) {
  EXPECT_EQ(e8m0_to_f32(127), 1.0f);
  EXPECT_EQ(e8m0_to_f32(0), 0x1p-127f);
  EXPECT_EQ(e8m0_to_f32(1), 0x1p-126f);
  EXPECT_EQ(e8m0_to_f32(254), 0x1p127f);
  EXPECT_TRUE(std::isnan(e8m0_to_f32(255)));
  EXPECT_EQ(e8m0_of_block(0), 0);
  EXPECT_EQ(e8m0_of_block(1e-45f), 0);
  EXPECT_EQ(e8m0_of_block(2.0f), 126);
  EXPECT_EQ(e8m0_of_block(6.99f), 127);
  EXPECT_EQ(e8m0_of_block(7.0f), 128);  // 7 / 2 rounds to 4, 7 / 1 would be cut to 6
  EXPECT_EQ(e8m0_of_block(std::numeric_limits<float>::max()), 253);
}

// FORMATS section 8, MXFP4 as gguf-py encodes it: x[i] = (((i * 37) % 64) - 31) / 16; byte j holds
// element j in its low and j + 16 in its high half.
TEST(Codebook, Mxfp4BlockIsTheGoldenVector) {
  std::vector<float> x;
  float largest = 0;
  for (int i = 0; i < 32; ++i) {
    x.push_back(static_cast<float>((i * 37) % 64 - 31) / 16);
    largest = std::max(largest, std::fabs(x.back()));
  }
  const uint8_t exponent = e8m0_of_block(largest);
  EXPECT_EQ(exponent, 0x7e);
  std::string hex;
  for (size_t j = 0; j < 16; ++j) {
    const auto code = [&](size_t i) {
      return f32_to_e2m1(x[i] / e8m0_to_f32(exponent), E2m1Ties::smaller);
    };
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[code(j + 16)];
    hex += kDigits[code(j)];
  }
  EXPECT_EQ(hex, "ce519d641bd540bd520ce42ac640ad53");
}

// The same section's decode vector: bytes (7 i + 3) & 255, scale code 125.
TEST(Codebook, Mxfp4BlockDecodesToTheGoldenValues) {
  const auto table = number(NumberType::mxfp4).table();
  std::vector<float> y(32);
  float sum = 0;
  for (size_t j = 0; j < 16; ++j) {
    const size_t byte = (7 * (j + 1) + 3) & 255;
    y[j] = table[byte & 15] * e8m0_to_f32(125);
    y[j + 16] = table[byte >> 4] * e8m0_to_f32(125);
    sum += y[j] + y[j + 16];
  }
  EXPECT_EQ(y[0], -.25f);
  EXPECT_EQ(y[1], .125f);
  EXPECT_EQ(y[16], 0);
  EXPECT_EQ(y[31], 1.5f);
  EXPECT_EQ(sum, 8.375f);
}

// BAD_INPUTS Q7, Q9: saturation, the one NaN, and all 256 codes back to themselves.
TEST(Codebook, Fp8SaturatesAndComesBack) {
  for (const NumberType type : {NumberType::fp8_e4m3, NumberType::fp8_e5m2}) {
    const auto table = number(type).table();
    ASSERT_EQ(table.size(), 256u);
    const float top = type == NumberType::fp8_e4m3 ? 448.0f : 57344.0f;
    for (const float big : {top * 1.001f, 1e6f, std::numeric_limits<float>::infinity()}) {
      EXPECT_EQ(table[code_of(type, big)], top);
      EXPECT_EQ(table[code_of(type, -big)], -top);
    }
    int finite = 0;
    for (size_t c = 0; c < 256; ++c) {
      if (!std::isfinite(table[c])) continue;
      ++finite;
      EXPECT_EQ(code_of(type, table[c]), c);
    }
    EXPECT_EQ(finite, type == NumberType::fp8_e4m3 ? 254 : 248);
  }
  EXPECT_EQ(number(NumberType::fp8_e4m3).table()[1], 0x1p-9f);
  EXPECT_EQ(code_of(NumberType::fp8_e4m3, 0x1p-10f), 0);      // a tie, to even
  EXPECT_EQ(code_of(NumberType::fp8_e4m3, 3 * 0x1p-10f), 2);  // a tie, to even
  EXPECT_EQ(code_of(NumberType::fp8_e4m3, 1.0625f), 0x38);    // between 1 and 1.125
}

}  // namespace
}  // namespace nibble
