// Classifiers (the MLP) side by side, on MNIST or on random inputs: what compare() and evaluate()
// do with them.
#pragma once

#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/measurement.h"
#include "nibble/jobs/compare.h"
#include "nibble/model/model.h"

namespace nibble {

/// `base`, which is the job's first model, then the others and the schemes.
std::vector<ClassifierMeasurement> compare_classifiers(const CompareJob& job, const Model& base,
                                                       const Exec& exec);

/// `model` against the model `base`, which is measured first; alone where that is empty. `data` as
/// in CompareJob.
std::vector<ClassifierMeasurement> eval_classifier(const Model& model, const std::string& base,
                                                   const std::string& data, const Exec& exec);

}  // namespace nibble
