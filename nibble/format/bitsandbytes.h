// The 4-bit layout of bitsandbytes (wheel 0.50.2, read 2026-08; docs/formats/bitsandbytes.md): nf4
// and fp4, plain or doubly quantized. Use it through quantized_layout.h.
//
// Blocks are runs of the flattened weight. nibble's groups never cross a row, so files whose blocks
// do are refused; where the block divides k both are the same.
#pragma once

#include "nibble/format/quantized_layout.h"

namespace nibble::bitsandbytes {

/// nf4 and fp4 with the groups that its kernels know: powers of two from 32 to 4096.
bool can_hold(const QuantScheme& scheme);

/// X.weight (u8, the first of two codes in the high half), X.weight.absmax, X.weight.quant_map,
/// X.weight.quant_state.bitsandbytes__nf4 or __fp4 (JSON), and with double quantization
/// X.weight.nested_absmax and X.weight.nested_quant_map.
std::vector<NamedTensor> to_tensors(const std::string& module, const QuantizedTensor& q);
std::vector<TensorInfo> layout(const std::string& module, const QuantScheme& scheme,
                               const Shape& shape, DType scale_dtype);
/// Error{corrupt} names the tensor that does not fit; Error{unsupported} for maps other than the
/// ones of nf4, fp4 and double quantization, and for blocks that cross rows.
QuantizedTensor from_tensors(const TensorSource& source, const std::string& module,
                             const QuantScheme& scheme);

/// True where bitsandbytes' config can say all of them: one type.
bool can_say(const SchemeMap& schemes);
void write_config(const SchemeMap& schemes, const std::vector<std::string>& plain, JsonWriter& out);
/// The modules that have a quantization state among the tensors.
SchemeMap read_config(const JsonFields& config, std::span<const MatrixModule> modules,
                      const TensorSource& tensors);
std::vector<std::string> stored_names(const TensorSource& source, const std::string& module,
                                      const QuantScheme& scheme);

}  // namespace nibble::bitsandbytes
