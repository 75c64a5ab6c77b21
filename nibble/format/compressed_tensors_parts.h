// What the files of compressed_tensors.h share: how codes lie, and the rows of its config.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "nibble/core/dtype.h"
#include "nibble/quant/scheme.h"

namespace nibble::compressed_tensors {

/// The ways in which codes lie. Bytes and plain floats are elements of the weight's own shape; the
/// others are packed bits.
enum class Storing { packed_words, signed_bytes, plain_floats, packed_floats };
/// How nibble stores a scheme.
Storing storing(const QuantScheme& scheme);
/// f8_e4m3 or f8_e5m2.
DType float8(const QuantScheme& scheme);
/// Where the one number of the inputs lies: nothing for schemes without.
std::string activation_name(const std::string& module, const QuantScheme& scheme);
/// Where the group of every column lies, in files of 2024 to 2026 (actorder: group).
std::string order_name(const std::string& module);

/// The types and granularities there are, as the config says them: one row each, searched both
/// ways.
struct WeightRow {
  std::string_view kind;  ///< "int", "float"
  int bits;               ///< 0: any integer
  std::string_view strategy;
  int64_t group;  ///< 0: what the scheme says, or none
  NumberType type;
  Granularity granularity;
  std::string_view scale_dtype;  ///< where it must be said
};
inline constexpr WeightRow kWeightRows[] = {
    {"int", 0, "tensor", 0, NumberType::int8, Granularity::tensor, ""},
    {"int", 0, "channel", 0, NumberType::int8, Granularity::channel, ""},
    {"int", 0, "group", 0, NumberType::int8, Granularity::group, ""},
    {"float", 8, "tensor", 0, NumberType::fp8_e4m3, Granularity::tensor, ""},
    {"float", 8, "channel", 0, NumberType::fp8_e4m3, Granularity::channel, ""},
    {"float", 4, "group", 32, NumberType::mxfp4, Granularity::group, "torch.uint8"},
    {"float", 4, "tensor_group", 16, NumberType::nvfp4, Granularity::group, "torch.float8_e4m3fn"},
};

}  // namespace nibble::compressed_tensors
