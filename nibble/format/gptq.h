// The layout of GPTQ, as AutoGPTQ, GPTQModel, Optimum, vLLM and auto-round read and write it
// (GPTQModel utils/model.py and nn_modules/qlinear, read 2026-08; docs/formats/gptq.md): X.qweight
// i32 [ceil(k * bits / 32), n], a stream of codes down the inputs of each output; X.qzeros i32
// [groups, ceil(n * bits / 32)], along the outputs; X.scales [groups, n]; X.g_idx i32 [k], the
// group of each input. What its files know of each other.
#pragma once

#include "nibble/format/weight_layout.h"

namespace nibble::gptq {

/// The widths that there are.
inline constexpr int kBits[] = {2, 3, 4, 8};

/// Writing. Symmetric weights as version 1, which every loader knows; asymmetric ones as version 2:
/// loaders of version 1 disagree about a zero point of 0.
bool can_hold(const QuantScheme& scheme);
bool can_say(const SchemeMap& schemes);
/// Rows and columns fill whole words.
std::string misfit(const QuantScheme& scheme, const Shape& shape);
std::vector<NamedTensor> to_tensors(const std::string& module, const QuantizedTensor& q);
std::vector<TensorInfo> infos(const std::string& module, const QuantScheme& scheme,
                              const Shape& shape, DType scale_dtype);
/// The scheme of most modules, and what differs under `dynamic`.
void write_config(const SchemeMap& schemes, const std::vector<std::string>& plain, JsonWriter& out);

}  // namespace nibble::gptq
