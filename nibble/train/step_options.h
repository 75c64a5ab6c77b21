// How a step of training is computed.
#pragma once

#include <cstdint>
#include <memory>

namespace nibble {

class Teacher;

/// How a step is computed.
struct StepOptions {
  /// Pieces in which the sequences of a chunk go through the model one after another: memory of
  /// activations falls with it, and what is computed is the same.
  int64_t accumulate = 1;
  bool bf16 = false;          ///< products of rows and weights rounded to bf16, sums in f32
  bool recompute = false;     ///< activations of a layer are computed again by its backward pass
  int64_t chunks = 8;         ///< of a batch at most: each has gradients of its own
  double expert_balance = 0;  ///< coefficient of the experts' balance loss (expert_balance.h)
  double distill_share = 1;   ///< of the divergence from the teacher; the rest is of the labels
  double corrupt = 0;         ///< share of the tokens read that are random ones (corrupt_tokens())
  std::shared_ptr<const Teacher> teacher = {};  ///< null: the labels alone are learnt
};

}  // namespace nibble
