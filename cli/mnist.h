// The MLP on the command line: training, measuring.
#pragma once

#include <string>

#include "cli/command.h"
#include "nibble/compress/train_model.h"
#include "nibble/model/model_folder.h"

namespace nibble::cli {

void train_mlp(const Common& common, const TrainJob& job, const std::string& data);
void eval_mlp(const Common& common, const ModelFolder& model, const std::string& base,
              const std::string& data);

}  // namespace nibble::cli
