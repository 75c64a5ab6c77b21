// The definition of every decoder: its plan, step by step, in f64 and in the most obvious way, for
// one sequence from its beginning. Slow. What inference and the gradients compute is held to it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "nibble/model/parameter_finder.h"

namespace nibble {

/// x, the residual stream [rows, hidden_size] of positions 0, 1, ..., goes through one layer.
void run_reference_layer(const DecoderConfig& config, int layer, const ParameterFinder& find,
                         std::vector<double>& x);

/// The residual stream in front of the first layer.
std::vector<double> reference_embedding(const DecoderConfig& config, const ParameterFinder& find,
                                        std::span<const int32_t> ids);
/// Logits [rows, vocab_size] from the residual stream behind the last layer.
std::vector<double> reference_head(const DecoderConfig& config, const ParameterFinder& find,
                                   std::vector<double> x);

/// All of it: logits [ids.size(), vocab_size]. Throws what ParameterFinder throws.
std::vector<double> reference_logits(const DecoderConfig& config, const WeightLoader& load,
                                     std::span<const int32_t> ids);

}  // namespace nibble
