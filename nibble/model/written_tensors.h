// The tensors of a folder's files, of the parameters that they are made of.
#pragma once

#include <vector>

#include "nibble/format/quantized_layout.h"
#include "nibble/format/safetensors.h"
#include "nibble/model/model.h"

namespace nibble {

/// What write_model() and write_model_like() write, in the order of `parameters`: one tensor for a
/// plain parameter, those of `layout` (null: of the layout that holds the scheme) for a quantized
/// one. Plain experts of architectures whose files stack them (ParamSpec::stacking) are one tensor
/// for all experts of a layer, where all that these have is plain. Nothing is made before
/// a tensor's make() is called; one parameter, or one stack, is in memory at a time.
std::vector<LazyTensor> written_tensors(const std::vector<WritableParameter>& parameters,
                                        const WeightLayout* layout);

}  // namespace nibble
