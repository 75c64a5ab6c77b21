// What the layouts of GPTQ and AWQ have in common: integers in words of 32 bits, inputs before
// outputs, and configs that auto-round writes for both.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "nibble/core/json.h"
#include "nibble/core/tensor_source.h"
#include "nibble/format/known_keys.h"
#include "nibble/format/module_targets.h"
#include "nibble/quant/quantized_tensor.h"

namespace nibble::packed_int32 {

/// The names of the modules that have an X.qweight.
std::vector<std::string> packed_modules(std::span<const MatrixModule> modules,
                                        const TensorSource& tensors);
/// i32 words of two extents, or Error{corrupt} naming the tensor.
Tensor require_words(const TensorSource& source, const std::string& name);
/// Scales [groups, n] as [n, groups].
Tensor require_turned_scales(const TensorSource& source, const std::string& name, int64_t groups,
                             int64_t n);
/// "intB:gN" or "intB:channel", with ":asym", by how many groups k inputs have; `group` is what the
/// config says (-1: none). Error{corrupt} at tensor `name` where these contradict each other and
/// nothing says that modules differ.
QuantScheme scheme_of(int bits, int64_t group, int64_t groups, int64_t k, bool asymmetric,
                      bool modules_differ, const std::string& name);
/// Zero points [n, groups] of a weight: kept where its scheme is asymmetric, else held to be
/// 2^(bits-1), or Error{corrupt} naming the tensor.
void take_zeros(Tensor zeros, const std::string& name, QuantizedTensor& q);

/// The codes of a weight [n, k], whose rows are whole words, as i32 [words of a row, n].
Tensor turned_words(const QuantizedTensor& q);
/// Its zero points, u8 [n, groups]; of a symmetric one 2^(bits-1) everywhere.
Tensor zeros_or_middle(const QuantizedTensor& q);

/// Error{unsupported} names a key of quantization_config that is none of `known`, nor one of those
/// that auto-round writes; or says that inputs are rounded.
void require_keys(const JsonFields& config, std::span<const KnownKey> known);

}  // namespace nibble::packed_int32
