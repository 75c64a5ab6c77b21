// What a job trains: the model it begins with, what is fake-quantized of it, its teacher.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "nibble/compress/model_output.h"
#include "nibble/core/atomic_folder.h"
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
/// Where the trained model is written: a folder, or a GGUF file by the name of one. It appears
/// when all of it is there; models that go on are read back first.
class TrainOutput {
 public:
  /// Errors before any work: something is there without force, a scheme that it cannot hold. Both
  /// must outlive it.
  TrainOutput(const TrainJob& job, const TrainedModel& trained);
  void write(const TrainResult& result, std::vector<std::string>& warnings, const Exec& exec);

 private:
  std::string about(const TrainResult& result, int64_t bytes) const;

  const TrainJob& job_;
  const TrainedModel& trained_;
  std::optional<AtomicFolder> folder_;  // of adapters and of models of characters
  std::optional<ModelOutput> output_;
};

/// The same model in memory.
Model trained_in_memory(const TrainedModel& trained, const TrainResult& result);

}  // namespace nibble
