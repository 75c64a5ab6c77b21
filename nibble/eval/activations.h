// What goes into each projection while a model reads text: its outliers.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/distribution.h"
#include "nibble/model/model.h"

namespace nibble {

/// Runs the model over the sequences (but for their last tokens) until `rows` rows of every input
/// are collected: outliers beyond `sigmas` standard deviations of each, its channels the columns,
/// by the name of the weight that reads it.
std::vector<OutlierStats> activation_outliers(const Model& model,
                                              const std::vector<std::vector<int32_t>>& sequences,
                                              int64_t rows, double sigmas, const Exec& exec);

}  // namespace nibble
