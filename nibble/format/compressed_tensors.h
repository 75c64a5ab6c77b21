// The compressed-tensors layout (vllm-project/compressed-tensors, read 2026-08;
// docs/formats/compressed_tensors.md): what its files know of each other.
#pragma once

#include "nibble/format/weight_layout.h"

namespace nibble::compressed_tensors {

/// By format: pack-quantized X.weight_packed, X.weight_scale, X.weight_shape (and
/// X.weight_zero_point); int-quantized and float-quantized X.weight, X.weight_scale; E2M1
/// X.weight_packed, X.weight_scale (and X.weight_global_scale).
std::vector<NamedTensor> to_tensors(const std::string& module, const QuantizedTensor& q);
std::vector<TensorInfo> layout(const std::string& module, const QuantScheme& scheme,
                               const Shape& shape, DType scale_dtype);
/// Reads what other tools write as well: integers as plain I8, zero points as I8, the packing of
/// releases up to 2025, and columns that belong to groups in any order.
QuantizedTensor from_tensors(const TensorSource& source, const std::string& module,
                             const QuantScheme& scheme, const LayoutInUse& use);
std::vector<std::string> stored_names(const TensorSource& source, const std::string& module,
                                      const QuantScheme& scheme);

/// The `format` of a config group: "pack-quantized", "float-quantized", ...
std::string_view format_of(const QuantScheme& scheme);
/// One config group a scheme, its targets the modules by name.
void write_config(const SchemeMap& schemes, const std::vector<std::string>& plain, JsonWriter& out);
StoredModules read_config(const JsonFields& config, std::span<const MatrixModule> modules,
                          const TensorSource& tensors);

}  // namespace nibble::compressed_tensors
