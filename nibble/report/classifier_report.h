// Classifiers (the MLP) side by side.
#pragma once

#include <string>
#include <vector>

#include "nibble/eval/measurement.h"

namespace nibble {

/// Columns: model, parameters, file, smaller, memory, accuracy, same prediction, output MSE, ms a
/// batch. The first model is the baseline.
std::string render_table(const std::vector<ClassifierMeasurement>& models, int width = 100);
/// schema_version and `models`; accuracy is null where there are no labels.
std::string classifiers_json(const std::vector<ClassifierMeasurement>& models);

}  // namespace nibble
