// The MLP on the command line: training.
#pragma once

#include <string>

#include "cli/command.h"
#include "nibble/compress/train_model.h"

namespace nibble::cli {

void train_mlp(const Common& common, const TrainJob& job, const std::string& data);

}  // namespace nibble::cli
