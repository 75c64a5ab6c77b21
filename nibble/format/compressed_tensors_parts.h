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
  Storing storing;
  std::string_view format;
};
inline constexpr WeightRow kWeightRows[] = {
    {"int", 0, "tensor", 0, NumberType::int8, Granularity::tensor, "", Storing::packed_words,
     "pack-quantized"},
    {"int", 0, "channel", 0, NumberType::int8, Granularity::channel, "", Storing::packed_words,
     "pack-quantized"},
    {"int", 0, "group", 0, NumberType::int8, Granularity::group, "", Storing::packed_words,
     "pack-quantized"},
    {"float", 8, "tensor", 0, NumberType::fp8_e4m3, Granularity::tensor, "", Storing::plain_floats,
     "float-quantized"},
    {"float", 8, "channel", 0, NumberType::fp8_e4m3, Granularity::channel, "",
     Storing::plain_floats, "float-quantized"},
    {"float", 4, "group", 32, NumberType::mxfp4, Granularity::group, "torch.uint8",
     Storing::packed_floats, "mxfp4-pack-quantized"},
    {"float", 4, "tensor_group", 16, NumberType::nvfp4, Granularity::group, "torch.float8_e4m3fn",
     Storing::packed_floats, "nvfp4-pack-quantized"},
};
inline constexpr std::string_view kHolds =
    "int2 to int8 with :tensor, :channel or :gN, :asym and :a8, :a8full, :a8static or :a8outlier; "
    "fp8_e4m3, also :tensor and :afp8; mxfp4; nvfp4";
/// The row of a scheme; nullptr where there is none.
const WeightRow* find_row(const QuantScheme& scheme);
/// How nibble stores a scheme that has a row.
Storing storing(const QuantScheme& scheme);

}  // namespace nibble::compressed_tensors
