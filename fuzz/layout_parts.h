// What the input of quantized_layout's target is made of: its first bytes are places in these
// lists.
#pragma once

#include <cstdint>

#include "nibble/core/dtype.h"

inline constexpr const char* kLayoutNames[] = {
    "x.weight",
    "x.weight_packed",
    "x.weight_scale",
    "x.weight_shape",
    "x.weight_zero_point",
    "x.weight_global_scale",
    "x.weight.absmax",
    "x.weight.quant_map",
    "x.weight.nested_absmax",
    "x.weight.nested_quant_map",
    "x.weight.quant_state.bitsandbytes__nf4",
    "x.weight.quant_state.bitsandbytes__fp4",
    "x.qweight",
    "x.qzeros",
    "x.scales",
    "x.g_idx",
    "x.weight_scale_inv",
    "x.activation_scale",
    "x.SCB",
    "x.weight_format",
    "x.biases",
};
inline constexpr nibble::DType kLayoutTypes[] = {
    nibble::DType::u8,      nibble::DType::i8,   nibble::DType::i32, nibble::DType::i64,
    nibble::DType::f16,     nibble::DType::bf16, nibble::DType::f32, nibble::DType::f8_e4m3,
    nibble::DType::f8_e5m2, nibble::DType::u32,
};
inline constexpr const char* kLayoutSchemes[] = {
    "int4:g32:asym", "int8:a8", "int3",    "fp8_e4m3",    "fp8_e4m3:tensor", "mxfp4",  "nvfp4",
    "nf4",           "fp4:g32", "int6:g8", "int8:tensor", "nf4:g8",          "int2:g4"};
