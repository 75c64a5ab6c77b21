// Normalization of rows: RMSNorm (Zhang and Sennrich 2019) and LayerNorm (Ba et al. 2016).
#pragma once

#include <cstdint>
#include <span>

namespace nibble {

/// out[r] = x[r] / sqrt(mean(x[r]^2) + eps) * gain + bias for each of the m rows of `width`; gain
/// and bias may be empty. x and out may be the same memory. Sums in f64 or f32 in ascending order:
/// a row's bytes depend on nothing but the row.
void rms_norm(std::span<const float> x, int64_t m, int64_t width, std::span<const float> gain,
              std::span<const float> bias, double eps, std::span<float> out);

/// out[r] = (x[r] - mean) / sqrt(variance + eps) * gain + bias.
void layer_norm(std::span<const float> x, int64_t m, int64_t width, std::span<const float> gain,
                std::span<const float> bias, double eps, std::span<float> out);

}  // namespace nibble
