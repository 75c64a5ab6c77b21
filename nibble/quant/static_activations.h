// What schemes with activations do to the inputs of a weight, besides rounding each row by its own
// scale: one scale for all rows from calibration (a8static), and values beyond a threshold that are
// not rounded at all (a8outlier; Dettmers et al. 2022, LLM.int8(), section 3.2).
#pragma once

#include <cstdint>
#include <span>

#include "nibble/core/tensor.h"
#include "nibble/quant/scheme.h"

namespace nibble {

/// Magnitudes above this are outliers where nothing else is said (the paper's value).
inline constexpr float kOutlierThreshold = 6.0F;

/// Whether a weight's inputs have a number of their own beside its scales,
/// QuantizedTensor::activation: a8static's scale, a8outlier's threshold.
bool needs_number(const QuantScheme& scheme);

/// x = absmax / 127 as it is stored, f32 [1]. Error{corrupt} where it is not positive and finite
/// after a channel was active; 1 where none was.
Tensor static_scale(std::span<const float> absmax);

/// Codes of one row with a given scale: x / scale, rounded half to even, cut to [-127, 127]. NaN
/// becomes 0 and returns false.
bool quantize_row_static(std::span<const float> x, float scale, std::span<int8_t> codes);

/// Codes of one row with a scale of its own, which it returns (a8full): absmax / 127.5, rounded
/// half to even, cut to [-128, 127], as compressed-tensors rounds inputs per token. A row with NaN
/// or infinity has codes of 0 and a scale that is not finite.
float quantize_row_full(std::span<const float> x, std::span<int8_t> codes);

/// One row as fp8 numbers with a scale of its own, in place (afp8): absmax / 448, e4m3 rounded half
/// to even. NaN or infinity anywhere makes all of it NaN.
void round_row_fp8(std::span<float> row);

/// What rows [m, k] mean after a runtime has rounded them as `scheme` says, in place: the slow,
/// obvious definition of all of them. `scale` is a8static's, `threshold` a8outlier's.
void round_activations(const QuantScheme& scheme, float scale, float threshold, int64_t k,
                       std::span<float> rows);

}  // namespace nibble
