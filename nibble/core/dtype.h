// Scalar number formats. Only scalars: a quantized weight is a bundle of tensors
// (quant/quantized_tensor.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace nibble {

enum class DType : uint8_t {
  f64,
  f32,
  f16,
  bf16,
  f8_e4m3,
  f8_e5m2,
  i64,
  i32,
  i16,
  i8,
  u64,
  u32,
  u16,
  u8,
  boolean
};

/// One row for each DType, in the order of the enumeration: the only place its names and width are
/// said.
struct DTypeRow {
  DType dtype;
  std::string_view name;         ///< nibble's spelling, "f32"
  std::string_view safetensors;  ///< the spelling in safetensors files, "F32"
  int bytes;
};

const DTypeRow& row(DType dtype);
inline std::string_view to_string(DType dtype) { return row(dtype).name; }
inline int size_of(DType dtype) { return row(dtype).bytes; }

/// By nibble's name; "fp32", "fp16", "float32", "float16" and "bfloat16" are understood as well.
std::optional<DType> parse_dtype(std::string_view name);
std::optional<DType> parse_safetensors_dtype(std::string_view name);

/// The DType of a C++ type: dtype_of<float>() is f32.
template <class T>
constexpr DType dtype_of();
template <>
constexpr DType dtype_of<double>() {
  return DType::f64;
}
template <>
constexpr DType dtype_of<float>() {
  return DType::f32;
}
template <>
constexpr DType dtype_of<int64_t>() {
  return DType::i64;
}
template <>
constexpr DType dtype_of<int32_t>() {
  return DType::i32;
}
template <>
constexpr DType dtype_of<int8_t>() {
  return DType::i8;
}
template <>
constexpr DType dtype_of<uint8_t>() {
  return DType::u8;
}

}  // namespace nibble
