#include "nibble/core/float_formats.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/support/expect_error.h"
#include "tests/support/shared.h"

namespace nibble {
namespace {

using test::expect_error;

struct Codec {
  std::string name;
  uint32_t codes;    // 65536 or 256
  uint32_t largest;  // code of the largest finite value
  bool saturates;
  std::function<uint32_t(float)> encode;
  std::function<float(uint32_t)> decode;
  friend void PrintTo(const Codec& c, std::ostream* os) { *os << c.name; }
};

const std::vector<Codec> kCodecs = {
    {"f16", 65536, 0x7BFF, false, f32_to_f16,
     [](uint32_t c) { return f16_to_f32(static_cast<uint16_t>(c)); }},
    {"bf16", 65536, 0x7F7F, false, f32_to_bf16,
     [](uint32_t c) { return bf16_to_f32(static_cast<uint16_t>(c)); }},
    {"e4m3", 256, 0x7E, true, f32_to_e4m3,
     [](uint32_t c) { return e4m3_to_f32(static_cast<uint8_t>(c)); }},
    {"e5m2", 256, 0x7B, true, f32_to_e5m2,
     [](uint32_t c) { return e5m2_to_f32(static_cast<uint8_t>(c)); }},
};

class FloatFormat : public testing::TestWithParam<Codec> {};

TEST_P(FloatFormat, EveryCodeSurvivesTheRoundTrip) {
  const Codec& f = GetParam();
  const uint32_t sign = f.codes / 2;
  for (uint32_t code = 0; code < f.codes; ++code) {
    const float value = f.decode(code);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(f.decode(f.encode(value)))) << code;
      EXPECT_EQ(f.encode(value) & sign, code & sign) << code;
    } else if (std::isinf(value) && f.saturates) {
      EXPECT_EQ(f.encode(value), (code & sign) | f.largest) << code;
    } else {
      EXPECT_EQ(f.encode(value), code) << value;
    }
  }
}

// Between each two neighbours: the midpoint goes to the even code, its own neighbours to theirs.
TEST_P(FloatFormat, RoundsToNearestEven) {
  const Codec& f = GetParam();
  for (uint32_t code = 0; code < f.largest; ++code) {
    const double low = f.decode(code), high = f.decode(code + 1);
    const auto middle = static_cast<float>((low + high) / 2);
    if (static_cast<double>(middle) != (low + high) / 2) continue;  // bf16's subnormal middles fit
    EXPECT_EQ(f.encode(middle), (code & 1) == 0 ? code : code + 1) << code;
    EXPECT_EQ(f.encode(std::nextafter(middle, 0.0f)), code) << code;
    EXPECT_EQ(f.encode(std::nextafter(middle, INFINITY)), code + 1) << code;
    EXPECT_EQ(f.encode(-middle), f.encode(middle) | f.codes / 2) << code;
  }
}

TEST_P(FloatFormat, OverflowsAsItsStandardSays) {
  const Codec& f = GetParam();
  const double step = double{f.decode(f.largest)} - f.decode(f.largest - 1);
  const auto limit = static_cast<float>(f.decode(f.largest) + step / 2);
  const uint32_t above = f.saturates ? f.largest : f.largest + 1;
  EXPECT_EQ(f.encode(std::nextafter(limit, 0.0f)), f.largest);
  EXPECT_EQ(f.encode(limit), above);
  EXPECT_EQ(f.encode(INFINITY), above);
  EXPECT_EQ(f.encode(-INFINITY), above | f.codes / 2);
  EXPECT_EQ(f.encode(std::numeric_limits<float>::denorm_min()), 0u);
  EXPECT_EQ(f.encode(-0.0f), f.codes / 2);
}

INSTANTIATE_TEST_SUITE_P(All, FloatFormat, testing::ValuesIn(kCodecs),
                         [](const auto& p) { return p.param.name; });

constexpr const char* kGolden = "../shared/golden/quantizers.json";

nlohmann::json golden() {
  std::ifstream in(kGolden);
  return in ? nlohmann::json::parse(in) : nlohmann::json();
}

TEST(FloatFormats, MatchPyTorch) {
  if (test::lacks_shared(kGolden)) GTEST_SKIP() << kGolden;
  const auto g = golden();
  const auto& f8 = g["float8"];
  for (size_t i = 0; i < f8["values"].size(); ++i) {
    const auto x = f8["values"][i].get<float>();
    EXPECT_EQ(f32_to_e4m3(x), f8["e4m3fn_saturating_bits"][i].get<int>()) << x;
    EXPECT_EQ(f32_to_e5m2(x), f8["e5m2_saturating_bits"][i].get<int>()) << x;
  }
  const auto& half = g["half"];
  for (size_t i = 0; i < half["values"].size(); ++i) {
    const auto x = half["values"][i].get<float>();
    EXPECT_EQ(f32_to_f16(x), half["f16_bits"][i].get<int>()) << x;
    EXPECT_EQ(f32_to_bf16(x), half["bf16_bits"][i].get<int>()) << x;
  }
  for (int code = 0; code < 256; ++code) {
    for (const bool e4m3 : {true, false}) {
      const std::string text = g[e4m3 ? "decode_e4m3fn" : "decode_e5m2"][code];
      const float expected = std::stof(text);
      const auto byte = static_cast<uint8_t>(code);
      const float found = e4m3 ? e4m3_to_f32(byte) : e5m2_to_f32(byte);
      EXPECT_TRUE(found == expected || (std::isnan(found) && std::isnan(expected))) << code;
    }
  }
}

TEST(FloatFormats, F16MatchesTheCompilersOwn) {
#ifdef __FLT16_MAX__
  std::mt19937 random(1);
  for (int i = 0; i < 200'000; ++i) {
    const auto x = std::bit_cast<float>(static_cast<uint32_t>(random()));
    if (std::isnan(x)) continue;
    EXPECT_EQ(f32_to_f16(x), std::bit_cast<uint16_t>(static_cast<_Float16>(x))) << x;
  }
#else
  GTEST_SKIP() << "the compiler has no _Float16";
#endif
}

TEST(ConvertTensor, BetweenAllFloatTypes) {
  const std::vector<float> values = {0.0f, -0.0f, 1.0f, -2.5f, 0.375f, 448.0f, 1e-3f};
  const Tensor x = Tensor::from<float>(Shape{7}, values);
  for (const DType to : {DType::f64, DType::f16, DType::bf16, DType::f8_e4m3, DType::f8_e5m2}) {
    std::vector<float> once(7), twice(7);
    const Tensor narrow = convert(x, to);
    to_f32(narrow, once);
    to_f32(convert(convert(narrow, DType::f64), to), twice);
    EXPECT_EQ(once, twice) << to_string(to);  // a value of the type itself stays
    EXPECT_EQ(once[3], -2.5f);
    EXPECT_TRUE(std::signbit(once[1]));
  }
}

// Rounding f64 to f32 first would make a tie of what is none.
TEST(ConvertTensor, RoundsF64Once) {
  const std::vector<double> x = {1.0 + 0x1p-11 + 0x1p-40, 1.0 + 0x1p-11 - 0x1p-40, 1e300, -1e-300};
  const Tensor out = convert(Tensor::from<double>(Shape{4}, x), DType::f16);
  std::vector<uint16_t> codes(4);
  std::memcpy(codes.data(), out.raw(), 8);
  EXPECT_EQ(codes, (std::vector<uint16_t>{0x3C01, 0x3C00, 0x7C00, 0x8000}));
}

TEST(ConvertTensor, RefusesIntegers) {
  expect_error(ErrorKind::unsupported, "i32",
               [] { convert(Tensor(DType::i32, Shape{2}), DType::f32); });
  expect_error(ErrorKind::unsupported, "u8",
               [] { convert(Tensor(DType::f32, Shape{2}), DType::u8); });
}

TEST(RefuseNonfinite, SaysWhere) {
  std::vector<float> values(3 * 5000, 1.0f);
  EXPECT_NO_THROW(refuse_nonfinite(Tensor::from<float>(Shape{3, 5000}, values), "w"));
  values[2 * 5000 + 7] = -INFINITY;
  values[2 * 5000 + 9] = NAN;
  expect_error(ErrorKind::corrupt, "tensor \"w\": row 2 col 7 is infinite (2 such values)", [&] {
    refuse_nonfinite(Tensor::from<float>(Shape{3, 5000}, values), "w");
  });
  values[5] = NAN;
  const Tensor half = convert(Tensor::from<float>(Shape{15000}, values), DType::f16);
  expect_error(ErrorKind::corrupt, "element 5 is NaN (3 such values)",
               [&] { refuse_nonfinite(half, "w"); });
  const std::vector<double> big = {1e300};
  EXPECT_NO_THROW(refuse_nonfinite(Tensor::from<double>(Shape{1}, big), "w"));
}

}  // namespace
}  // namespace nibble
