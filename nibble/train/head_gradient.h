// The gradient of a decoder's loss by the residual stream behind its last block, for labels that
// the model itself gives: what its Fisher information is made of.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "nibble/model/parameter_finder.h"
#include "nibble/train/matrix_product.h"

namespace nibble {

/// The label of one row for one draw, given the model's probabilities [vocab_size] there.
using LabelChoice = std::function<int32_t(int64_t row, int draw, std::span<const float> p)>;

/// Final norm and lm_head. Read by any number of threads at once.
class HeadGradient {
 public:
  /// Holds one f32 copy of the head. Throws what ParameterFinder throws; config is referred to.
  HeadGradient(const DecoderConfig& config, const ParameterFinder& find);

  /// out [draws, tokens, hidden_size] = the gradients of -log p(label) of every row by x [tokens,
  /// hidden_size]; a draw's labels are chosen in the order of the rows. Error{corrupt} where the
  /// logits are not finite.
  void run(const float* x, int64_t tokens, int draws, const LabelChoice& choose, float* out) const;

  /// What run() takes for so many tokens, in each thread, beside what it is given.
  static int64_t work_bytes(const DecoderConfig& config, int64_t tokens);

 private:
  void load(const Weight& weight);
  struct Scratch;
  TrainNorm<float> norm_task(Scratch& s) const;
  void forward(Scratch& s) const;
  void cap(Scratch& s, int64_t r) const;
  void backward(Scratch& s, const std::function<int32_t(int64_t)>& label, float* out) const;

  const DecoderConfig& config_;
  Buffer<float> gain_, bias_;  // of the final norm; empty where it has none
  Buffer<float> weight_;       // [vocab_size, hidden_size]
};

/// The label that u, in [0, 1), draws from p.
int32_t draw_label(std::span<const float> p, double u);

}  // namespace nibble
