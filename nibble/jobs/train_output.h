// Where a job's model goes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nibble/compress/model_output.h"
#include "nibble/core/atomic_folder.h"
#include "nibble/jobs/train_model.h"

namespace nibble {

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

}  // namespace nibble
