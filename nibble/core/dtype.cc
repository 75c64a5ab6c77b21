#include "nibble/core/dtype.h"

#include "nibble/core/error.h"

namespace nibble {
namespace {

constexpr DTypeRow kRows[] = {
    {DType::f64, "f64", "F64", 8},
    {DType::f32, "f32", "F32", 4},
    {DType::f16, "f16", "F16", 2},
    {DType::bf16, "bf16", "BF16", 2},
    {DType::f8_e4m3, "f8_e4m3", "F8_E4M3", 1},
    {DType::f8_e5m2, "f8_e5m2", "F8_E5M2", 1},
    {DType::i64, "i64", "I64", 8},
    {DType::i32, "i32", "I32", 4},
    {DType::i16, "i16", "I16", 2},
    {DType::i8, "i8", "I8", 1},
    {DType::u64, "u64", "U64", 8},
    {DType::u32, "u32", "U32", 4},
    {DType::u16, "u16", "U16", 2},
    {DType::u8, "u8", "U8", 1},
    {DType::boolean, "bool", "BOOL", 1},
};

struct Alias {
  std::string_view name;
  DType dtype;
};
constexpr Alias kAliases[] = {{"fp32", DType::f32},      {"fp16", DType::f16},
                              {"float32", DType::f32},   {"float16", DType::f16},
                              {"bfloat16", DType::bf16}, {"float64", DType::f64}};

}  // namespace

const DTypeRow& row(DType dtype) {
  const DTypeRow& found = kRows[static_cast<size_t>(dtype)];
  NIBBLE_CHECK(found.dtype == dtype);
  return found;
}

std::optional<DType> parse_dtype(std::string_view name) {
  for (const DTypeRow& r : kRows) {
    if (r.name == name) return r.dtype;
  }
  for (const Alias& a : kAliases) {
    if (a.name == name) return a.dtype;
  }
  return std::nullopt;
}

std::optional<DType> parse_safetensors_dtype(std::string_view name) {
  for (const DTypeRow& r : kRows) {
    if (r.safetensors == name) return r.dtype;
  }
  return std::nullopt;
}

}  // namespace nibble
