// The weights of a model as the tensors of a Hugging Face folder.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nibble/core/tensor_source.h"
#include "nibble/format/quantized_layout.h"
#include "nibble/format/weight_source.h"
#include "nibble/model/parameter.h"

namespace nibble {

/// `tensors` have the names of the parameter table; those of `modules` lie as
/// format/quantized_layout.h has them, all others plain: [k, n] where their row of the table is
/// transposed, less by its offset. Numbers of a float type that nothing multiplies are given as
/// f32: Error{unsupported} where one is too large for that. What does not lie as it is computed
/// with is made anew at each get(), one tensor at a time.
std::shared_ptr<const WeightSource> stored_weights(std::unique_ptr<TensorSource> tensors,
                                                   StoredModules modules,
                                                   const std::vector<ParamSpec>& table);

/// The shape of a parameter in plain files.
Shape stored_shape(const ParamSpec& spec);
/// A plain parameter as files hold it, in `dtype` where that has to change.
Tensor as_stored(const ParamSpec& spec, const Tensor& tensor, DType dtype);

/// The reverse: f32 where the file holds it less by something.
Tensor from_stored(const ParamSpec& spec, const Tensor& tensor);

/// True for the types that are multiplied as they are: f32, f16, bf16.
bool can_be_multiplied(DType dtype);
/// True for the other types of floats: f64 and fp8.
bool is_other_float(DType dtype);

}  // namespace nibble
