// The trainer: forward, backward, Adam, over DecoderConfig and its parameter table, with all that a
// StepOptions and a FakeQuantization can say. It measures
// nothing beyond the loss it descends; the caller's hook hears of each step.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/core/tensor_source.h"
#include "nibble/text/line_data.h"
#include "nibble/train/train_options.h"

namespace nibble {

/// How the held-out part stood before step number `step` (of the first, 0). As a checkpoint has
/// it.
struct HeldoutLook {
  int64_t step = 0;
  float loss = 0;        ///< nats a token
  float divergence = 0;  ///< KL(teacher || model), where there is a teacher
};

/// What a run begins with and learns from.
struct TrainStart {
  WeightLoader load;  ///< empty: random weights
  /// Makes what is trained, from the places of all weights; empty: the whole decoder.
  std::function<std::unique_ptr<TrainedParts>(const ParamLayout&, const TrainOps<float>&)> parts =
      {};
};

struct TrainStep {
  int64_t step = 0;  ///< 1 for the first
  int64_t steps = 0;
  double loss = 0;     ///< mean over the predicted tokens of this batch, nats
  int64_t tokens = 0;  ///< predicted so far
  double seconds = 0;  ///< since the start
};
using TrainHook = std::function<void(const TrainStep&)>;

struct TrainResult {
  TensorMap weights;                                      ///< f32, by stored name
  std::map<std::string, QuantizedTensor> quantized = {};  ///< those that are stored in codes
  std::vector<float> losses;                              ///< one a step
  int64_t tokens = 0;
  double seconds = 0;
};

class Trainer {
 public:
  /// `data` must outlive the trainer. Throws Error{invalid_argument} on options no run can have.
  Trainer(const TrainOptions& options, const std::vector<std::vector<int32_t>>& data,
          const TrainStart& start = {});
  ~Trainer();
  /// Runs to options.steps, or to `until` where that comes first (from where it stands). The same
  /// bytes for any number of threads on one ISA. Stops between steps when exec asks (check_stop).
  /// Error{invalid_argument} where the loss stops being a number.
  void run(const Exec& exec, const TrainHook& hook = {},
           int64_t until = std::numeric_limits<int64_t>::max());
  /// Mean loss (and divergence from the teacher) of what stands now over the targets of
  /// `sequences`, nats: fake-quantized as in the step that comes next.
  struct Measured {
    double loss = 0, divergence = 0;
    int64_t targets = 0;
  };
  Measured measure(const std::vector<std::vector<int32_t>>& sequences, const Exec& exec);
  /// measure(), remembered; where `keep_best`, so are the weights that did best by aim() of the
  /// looks that count.
  HeldoutLook look(const std::vector<std::vector<int32_t>>& heldout, const Exec& exec,
                   bool keep_best);
  const std::vector<HeldoutLook>& looks() const;
  /// Whether it is about what the run is to give: a look at floats that are going to be
  /// fake-quantized is not.
  bool counts(const HeldoutLook& look) const;
  /// What the run descends, of a look: of two the lower is better.
  double aim(const HeldoutLook& look) const;
  /// The weights of the best look, where they were kept.
  void restore_best();
  int64_t step() const;
  TrainResult result() const;
  /// Checkpoint: weights, both moments, step, losses, options and a hash of the data, with a CRC;
  /// written atomically, the previous one kept as PATH.previous. A run resumed from it ends
  /// bit-equal to one that was never stopped (which sequences a step sees follows from seed and
  /// step alone, so no random state is saved).
  void save_checkpoint(const std::string& path) const;
  /// Falls back to PATH.previous where PATH is damaged and returns the path that was loaded;
  /// Error{corrupt} where neither can be used or they belong to other options or data.
  std::string load_checkpoint(const std::string& path);
  /// The kernels in use: "avx512".
  std::string_view kernel_name() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace nibble
