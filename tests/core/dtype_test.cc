// Names and widths of the number formats: one table, searched both ways.
#include "nibble/core/dtype.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace nibble {
namespace {

constexpr DType kAll[] = {DType::f64,     DType::f32, DType::f16, DType::bf16, DType::f8_e4m3,
                          DType::f8_e5m2, DType::i64, DType::i32, DType::i16,  DType::i8,
                          DType::u64,     DType::u32, DType::u16, DType::u8,   DType::boolean};

TEST(DTypes, NamesComeBack) {
  std::set<std::string_view> names, stored;
  for (const DType d : kAll) {
    EXPECT_EQ(row(d).dtype, d);
    EXPECT_EQ(parse_dtype(to_string(d)), d) << to_string(d);
    EXPECT_EQ(parse_safetensors_dtype(row(d).safetensors), d) << to_string(d);
    EXPECT_TRUE(names.insert(to_string(d)).second);
    EXPECT_TRUE(stored.insert(row(d).safetensors).second);
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(DType::boolean) + 1);
}

TEST(DTypes, WidthsAreThoseOfTheirTypes) {
  EXPECT_EQ(size_of(dtype_of<double>()), static_cast<int>(sizeof(double)));
  EXPECT_EQ(size_of(dtype_of<float>()), static_cast<int>(sizeof(float)));
  EXPECT_EQ(size_of(dtype_of<int64_t>()), 8);
  EXPECT_EQ(size_of(dtype_of<int32_t>()), 4);
  EXPECT_EQ(size_of(dtype_of<int8_t>()), 1);
  EXPECT_EQ(size_of(dtype_of<uint8_t>()), 1);
  // The digits of a name are the width in bits.
  for (const DType d : kAll) {
    if (d == DType::boolean) continue;
    const std::string name(to_string(d));
    const int bits = std::stoi(name.substr(name.find_first_of("0123456789")));
    EXPECT_EQ(size_of(d) * 8, bits) << name;
  }
  EXPECT_EQ(size_of(DType::boolean), 1);
}

TEST(DTypes, OtherSpellingsAreUnderstood) {
  EXPECT_EQ(parse_dtype("fp32"), DType::f32);
  EXPECT_EQ(parse_dtype("float32"), DType::f32);
  EXPECT_EQ(parse_dtype("fp16"), DType::f16);
  EXPECT_EQ(parse_dtype("float16"), DType::f16);
  EXPECT_EQ(parse_dtype("bfloat16"), DType::bf16);
  for (const char* name : {"", "F32", "f33", "float", "int8 ", " f32", "fp8", "f32\n"})
    EXPECT_FALSE(parse_dtype(name)) << name;
  for (const char* name : {"", "f32", "F33", "F4", "BF", "I128", "F8_E8M0"})
    EXPECT_FALSE(parse_safetensors_dtype(name)) << name;
}

}  // namespace
}  // namespace nibble
