// The MLP on the command line: MNIST from a folder, training, measuring.
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"
#include "nibble/compress/train_model.h"
#include "nibble/eval/measure.h"

namespace nibble::cli {

/// Images scaled to [0, 1] with their labels: the first `count` for training, the rest for testing.
struct MnistSplit {
  ClassifierData train, test;
};

/// 80 % for training, the rest for testing, in file order. Where `folder` is empty the tutorial's
/// case: random inputs, no labels. Error{corrupt} where the files fit neither each other nor the
/// model, known before the images are read.
MnistSplit load_mnist(const std::string& folder, const MlpConfig& config);

void train_mlp(const Common& common, const TrainJob& job, const std::string& data);
void eval_mlp(const Common& common, const ModelFolder& model, const std::string& base,
              const std::string& data);
void compare_mlp(const Common& common, const std::vector<std::string>& models,
                 const std::vector<std::string>& schemes, const std::string& data, int runs);

}  // namespace nibble::cli
