// MNIST from a folder of IDX files, as classifiers are trained and measured on it.
#pragma once

#include <string>

#include "nibble/eval/measure.h"
#include "nibble/model/mlp.h"

namespace nibble {

/// Images scaled to [0, 1] with their labels.
struct MnistSplit {
  ClassifierData train, test;
};

/// 80 % for training, the rest for testing, in file order. Where `folder` is empty the tutorial's
/// case: random inputs, no labels. Error{corrupt} where the files fit neither each other nor the
/// model, known before the images are read.
MnistSplit load_mnist(const std::string& folder, const MlpConfig& config);

}  // namespace nibble
