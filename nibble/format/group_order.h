// Columns that belong to groups in any order (GPTQ's act-order): files say the group of each.
#pragma once

#include <string>

#include "nibble/core/tensor_source.h"
#include "nibble/quant/quantized_tensor.h"

namespace nibble {

/// Reads the tensor `name`, i32 [k], and brings the columns of q's codes into the order of their
/// groups: q.input_order then says which input each stands for. Nothing where they are in order
/// already, or where every column says -1 (no group of its own). Error{corrupt} where a group is
/// not full or does not exist.
void put_in_order(const TensorSource& source, const std::string& name, QuantizedTensor& q);

}  // namespace nibble
