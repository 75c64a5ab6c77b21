// What quantizing a weight did to its outputs over the calibration rows.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "nibble/quant/method.h"

namespace nibble {

/// The mean squared error of an output as WeightResult has it; with only mean squares known, what
/// it would be for inputs without correlation; the plain mean squared error times k without either.
double error_of(const WeightTask& task, std::span<const float> w, const QuantizedTensor& q);

/// Fills error and rtn_error.
void measure(const WeightTask& task, std::span<const float> w, WeightResult& out);

/// The weights of columns: their mean squares, none less than `floor` times the mean. All 1, with a
/// note, where they are not finite, negative, of another length or all 0.
std::vector<float> usable_importance(const InputStatistics& input, double floor, std::string& note);

}  // namespace nibble
