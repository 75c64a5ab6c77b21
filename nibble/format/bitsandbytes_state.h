// The quantization state that bitsandbytes keeps beside a 4-bit weight: JSON in a tensor of bytes.
#pragma once

#include <optional>
#include <string>

#include "nibble/core/tensor_source.h"
#include "nibble/quant/scheme.h"

namespace nibble::bitsandbytes {

struct State {
  NumberType type{};
  int64_t block = 64;
  Shape shape;
  std::optional<float> nested_offset;  ///< set where the scales are doubly quantized
};

/// "X.weight.quant_state.bitsandbytes__TYPE"
std::string state_name(const std::string& module, NumberType type);

/// The tensor; its length depends on nothing but whether there is an offset, so that it is known
/// before the weight is quantized.
Tensor write_state(const State& state);
int64_t state_bytes(bool nested);

/// Error{corrupt} names the tensor and the key that does not fit.
State read_state(const TensorSource& source, const std::string& module, NumberType type);

}  // namespace nibble::bitsandbytes
