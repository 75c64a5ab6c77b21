// Training of the MLP (784-512-512-10 with ReLU): Adam on minibatches, cross-entropy.
#pragma once

#include <cstdint>
#include <span>

#include "nibble/core/exec.h"
#include "nibble/core/tensor_source.h"
#include "nibble/model/mlp.h"
#include "nibble/train/trainer.h"

namespace nibble {

struct MlpTrainOptions {
  MlpConfig config{{784, 512, 512, 10}};
  AdamOptions adam{.learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999};
  int64_t steps = 500;
  int64_t batch = 128;
  uint64_t seed = 42;
};

/// Weights as PyTorch's nn.Linear begins with: weights and biases uniform within 1/sqrt(inputs).
/// The tutorial's case without data is this and no training.
TensorMap random_mlp_weights(const MlpConfig& config, uint64_t seed);

/// images is [labels.size(), sizes.front()], scaled to [0, 1]; labels are below sizes.back(). Each
/// epoch sees every image once, in a new random order. The same bytes for any number of threads on
/// one ISA. In the result and in TrainStep, tokens are images. Error{invalid_argument} on options
/// or data that do not fit together.
TrainResult train_mlp(const MlpTrainOptions& options, std::span<const float> images,
                      std::span<const uint8_t> labels, const Exec& exec,
                      const TrainHook& hook = {});

}  // namespace nibble
