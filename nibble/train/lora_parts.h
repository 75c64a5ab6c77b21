// LoRA: thin matrices beside the weights of a decoder are what is trained of it (Hu et al. 2021),
// over weights that are read as they are stored (QLoRA, Dettmers et al. 2023).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/train/frozen_weights.h"
#include "nibble/train/trained_parts.h"

namespace nibble {

/// One matrix W [n, k] of a decoder that becomes W + scale B A.
struct LoraModule {
  ParamKey key;      ///< of the weight
  std::string name;  ///< of the module, for A and B: NAME.lora_A, NAME.lora_B
  int64_t rank = 8;
  double scale = 1;
  /// What they begin with, f32 [rank, k] and [n, rank]. Empty: A uniform in +-1 / sqrt(k) by the
  /// seed, as PEFT draws it (kaiming_uniform with a = sqrt(5)), and B 0.
  Tensor a = {}, b = {};
};

struct LoraOptions {
  std::vector<LoraModule> modules;
  double dropout = 0;  ///< share of an adapter's inputs that a step does without, below 1
  uint64_t seed = 42;  ///< of A and of dropout
};

class LoraParts : public TrainedParts {
 public:
  /// layout and ops must outlive it. Throws what FrozenWeights throws.
  LoraParts(const ParamLayout& layout, const TrainOps<float>& ops, const WeightLoader& load,
            LoraOptions options);

  const FlatLayout& layout() const override { return flat_; }
  void begin(float* trained) override;
  DecoderView<float> view(const float* trained) override;
  DecoderSlopes<float> slopes(float* gradient) const override;
  void prepare(const float* trained, int64_t share, int64_t shares) override;
  void before_step(int64_t step, float* trained, int threads) override;
  /// A and B as they are named.
  TrainedWeights result(const float* trained) override;

  /// Of the weights that stay.
  int64_t frozen_bytes() const { return frozen_.bytes(); }

 private:
  LowRankView<float> added_view(size_t module, const MatrixSlot& product,
                                const float* trained) const;

  const ParamLayout& layout_;
  const TrainOps<float>& ops_;
  const LoraOptions options_;
  const FrozenWeights frozen_;
  FlatLayout flat_;  // A and B of module i are rows, and products, 2 i and 2 i + 1
  Buffer<float> transposed_;
  LowRankDropout dropout_;
  std::vector<std::vector<LowRankView<float>>> added_;  // by product of the decoder
};

}  // namespace nibble
