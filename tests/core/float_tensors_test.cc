// Float tensors as a whole: blocks of conversion, what is plainly finite, and where it is not.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/random.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
// Around the edges of blocks of 4096 and of vectors of 16.
constexpr int64_t kSizes[] = {1, 15, 16, 17, 4095, 4096, 4097, 8200};

Tensor normal(int64_t n, DType dtype, uint64_t seed = 1) {
  PyRandom random(seed);
  Tensor out(DType::f32, Shape{n});
  for (float& v : out.mutable_data<float>()) v = static_cast<float>(random.gauss(0, 1));
  return dtype == DType::f32 ? out : convert(out, dtype);
}

float element(const Tensor& t, int64_t i) {
  const auto bits = reinterpret_cast<const uint16_t*>(t.raw())[i];
  return t.dtype() == DType::f16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

TEST(FloatTensors, EveryElementIsConvertedAsItIsAlone) {
  for (const int64_t n : kSizes) {
    const Tensor x = normal(n, DType::f32);
    const Tensor half = convert(x, DType::f16), brain = convert(x, DType::bf16);
    const Tensor back = convert(half, DType::f32);
    for (int64_t i = 0; i < n; ++i) {
      const float v = x.data<float>()[static_cast<size_t>(i)];
      ASSERT_EQ(element(half, i), f16_to_f32(f32_to_f16(v))) << n << " " << i;
      ASSERT_EQ(element(brain, i), bf16_to_f32(f32_to_bf16(v))) << n << " " << i;
      ASSERT_EQ(back.data<float>()[static_cast<size_t>(i)], element(half, i)) << n << " " << i;
    }
  }
}

TEST(FloatTensors, ToF32FillsWhatTheCallerGives) {
  for (const DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::f8_e4m3}) {
    const Tensor x = normal(33, dtype);
    std::vector<float> out(33, kNan);
    to_f32(x, out);
    const Tensor as_f32 = convert(x, DType::f32);
    EXPECT_TRUE(std::ranges::equal(out, as_f32.data<float>())) << to_string(dtype);
    std::vector<float> few(32);
    EXPECT_THROW(to_f32(x, few), std::logic_error);
  }
  std::vector<float> out(2);
  expect_error(ErrorKind::unsupported, "i32", [&] { to_f32(Tensor(DType::i32, Shape{2}), out); });
}

TEST(FloatTensors, PlainlyFiniteLooksAtEveryElement) {
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    for (const int64_t n : kSizes) {
      EXPECT_TRUE(plainly_finite(normal(n, dtype))) << to_string(dtype) << n;
      for (const float bad : {kNan, kInfinity, -kInfinity}) {
        for (const int64_t at : {int64_t{0}, n / 2, n - 1}) {
          Tensor x = normal(n, DType::f32);
          x.mutable_data<float>()[static_cast<size_t>(at)] = bad;
          EXPECT_FALSE(plainly_finite(convert(x, dtype))) << to_string(dtype) << n << " " << at;
        }
      }
    }
  }
  EXPECT_TRUE(plainly_finite(Tensor(DType::f32, Shape{0})));
  // Of other types it says nothing.
  EXPECT_FALSE(plainly_finite(Tensor(DType::f64, Shape{1})));
  EXPECT_FALSE(plainly_finite(Tensor(DType::i8, Shape{1})));
}

// The largest finite numbers are finite.
TEST(FloatTensors, LargestNumbersArePlainlyFinite) {
  const float largest[] = {std::numeric_limits<float>::max(), -std::numeric_limits<float>::max()};
  EXPECT_TRUE(plainly_finite(Tensor::from<float>(Shape{2}, largest)));
  const float halves[] = {65504, -65504};
  EXPECT_TRUE(plainly_finite(convert(Tensor::from<float>(Shape{2}, halves), DType::f16)));
  const float over[] = {65520};
  EXPECT_FALSE(plainly_finite(convert(Tensor::from<float>(Shape{1}, over), DType::f16)));
}

TEST(FloatTensors, RefusalCountsAndPlacesTheFirst) {
  Tensor x(DType::f32, Shape{3, 3000});
  auto v = x.mutable_data<float>();
  v[8999] = kNan;
  expect_error(ErrorKind::corrupt, "tensor \"w\": row 2 col 2999 is NaN (1 such value)",
               [&] { refuse_nonfinite(x, "w"); });
  v[4100] = -kInfinity;
  expect_error(ErrorKind::corrupt, "row 1 col 1100 is infinite (2 such values)",
               [&] { refuse_nonfinite(x, "w"); });
  expect_error(ErrorKind::corrupt, "row 1 col 1100",
               [&] { refuse_nonfinite(convert(x, DType::f16), "w"); });
  Tensor vector(DType::bf16, Shape{5});
  EXPECT_NO_THROW(refuse_nonfinite(vector, "b"));
  reinterpret_cast<uint16_t*>(vector.mutable_raw())[4] = 0x7FC0;
  expect_error(ErrorKind::corrupt, "element 4 is NaN", [&] { refuse_nonfinite(vector, "b"); });
}

TEST(FloatTensors, RefusalOfOtherTypes) {
  EXPECT_NO_THROW(refuse_nonfinite(Tensor(DType::i32, Shape{4}), "ids"));
  EXPECT_NO_THROW(refuse_nonfinite(Tensor(DType::f32, Shape{0}), "none"));
  Tensor wide(DType::f64, Shape{2});
  wide.mutable_data<double>()[0] = 1e300;  // beyond f32, and finite
  EXPECT_NO_THROW(refuse_nonfinite(wide, "wide"));
  wide.mutable_data<double>()[1] = std::numeric_limits<double>::infinity();
  expect_error(ErrorKind::corrupt, "element 1 is infinite (1 such value)",
               [&] { refuse_nonfinite(wide, "wide"); });
  Tensor e4m3(DType::f8_e4m3, Shape{2});
  e4m3.mutable_raw()[1] = std::byte{0x7F};
  expect_error(ErrorKind::corrupt, "element 1 is NaN", [&] { refuse_nonfinite(e4m3, "e"); });
}

}  // namespace
}  // namespace nibble
