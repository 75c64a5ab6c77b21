// The compressed-tensors layout (vllm-project/compressed-tensors, read 2026-08;
// docs/formats/compressed_tensors.md): how a QuantizedTensor lies in safetensors, and the
// `quantization_config` that says so.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/json.h"
#include "nibble/core/tensor_source.h"
#include "nibble/format/safetensors.h"
#include "nibble/quant/quantized_tensor.h"

namespace nibble {

/// Which module ("layers.0.attn.wq", without ".weight") is stored in which scheme. Modules not
/// named are plain.
using SchemeMap = std::map<std::string, QuantScheme, std::less<>>;

/// "layers.0.attn.wq" of "layers.0.attn.wq.weight"; the name itself where it has no such end.
std::string module_of(std::string_view tensor_name);

/// Throws Error{unsupported} where the layout has no way to say the scheme (ternary, nf4, ...).
void require_expressible(const QuantScheme& scheme);

/// X.weight_packed, X.weight_scale, X.weight_shape (and X.weight_zero_point), or X.weight and
/// X.weight_scale for int8 with int8 activations (`int-quantized`).
std::vector<NamedTensor> to_tensors(std::string_view tensor_name, const QuantizedTensor& q);

/// Names, types and shapes of what to_tensors() gives, known before anything is quantized.
std::vector<TensorInfo> tensor_layout(std::string_view tensor_name, const QuantScheme& scheme,
                                      const Shape& shape, DType scale_dtype);

/// The reverse. Error{corrupt} names the tensor that is missing or has another shape.
QuantizedTensor from_tensors(const TensorSource& source, std::string_view tensor_name,
                             const QuantScheme& scheme);

/// `quantization_config`, written as the value of a key that was just begun: one config group a
/// scheme, its targets the modules by name, everything in `plain` under `ignore`.
void write_quantization_config(const SchemeMap& schemes, const std::vector<std::string>& plain,
                               JsonWriter& out);

/// Reads the groups of config.json's quantization_config; empty where there is none.
/// Error{unsupported} names what nibble cannot load. Targets that are class names ("Linear") apply
/// to every module of `modules` that is not ignored.
SchemeMap read_quantization_config(const JsonFields& config,
                                   const std::vector<std::string>& modules);

}  // namespace nibble
