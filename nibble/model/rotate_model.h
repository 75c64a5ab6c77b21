// Rotating a model: the residual stream is turned by an orthogonal matrix, which RMSNorm without a
// gain does not notice, and so are the values of every head. The function stays, outliers of single
// channels are spread over all (Ashkboos et al. 2024, QuaRot, stages 1a to 1c, without the
// rotations that a runtime would have to do).
#pragma once

#include <cstdint>

#include "nibble/model/model.h"

namespace nibble {

/// The same function: norm gains are folded into what reads them, embeddings and what writes to the
/// residual stream are rotated, what reads it is rotated back. A tied head whose norm has a gain is
/// untied. Tensors are rotated as they are read; `model` must outlive the result.
/// Error{unsupported} for LayerNorm, which subtracts the mean and so notices.
Model rotated_model(const Model& model, uint64_t seed);

}  // namespace nibble
