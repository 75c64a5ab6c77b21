// What a job trains: the model it begins with, what is fake-quantized of it, its teacher.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "nibble/jobs/train.h"
#include "nibble/jobs/train_lora.h"
#include "nibble/model/model.h"

namespace nibble {

struct TrainedModel {
  /// What it begins with: its config, companions and, of `from`, weights. Of a run from scratch
  /// there are none.
  Model model;
  bool from_scratch = true;
  std::optional<CharTokenizer> characters;  ///< the tokenizer made of the text, where it is one
  TrainOptions options;
  TrainStart start;
  std::vector<ParameterPlan> plans;
  std::optional<LoraPlan> lora;
  std::vector<std::string> warnings;
};

/// Opens and plans. Errors before any work, as quantize_model() has them for a scheme.
TrainedModel model_to_train(const TrainJob& job);

/// Plain weights become the floats that the model they began with stores: its config says which.
/// Error{corrupt} naming the tensor that does not fit them.
void as_stored_before(const TrainedModel& trained, TrainResult& result);
/// What was trained, as a model in memory.
Model trained_in_memory(const TrainedModel& trained, const TrainResult& result);

}  // namespace nibble
