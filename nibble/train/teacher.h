// The model whose probabilities another one is trained for (Hinton, Vinyals and Dean 2015).
#pragma once

#include <cstdint>
#include <memory>

#include "nibble/train/layout.h"

namespace nibble {

/// Weights of a whole decoder, f32, as passes read them.
class Teacher {
 public:
  /// Throws what `load` throws, Error{corrupt} for a tensor of another shape than the table's.
  Teacher(const DecoderConfig& config, const WeightLoader& load, const TrainOps<float>& ops);

  const ParamLayout& layout() const { return layout_; }
  const DecoderView<float>& view() const { return view_; }

 private:
  const ParamLayout layout_;
  Buffer<float> weights_, transposed_;
  DecoderView<float> view_;
};

/// What a student learns from it, chunk by chunk. One a thread; the teacher must outlive it.
class TeacherPass {
 public:
  TeacherPass(const Teacher& teacher, const TrainOps<float>& ops);
  /// Of the rows of one chunk, until the next call; `share` as TeacherRows has it.
  TeacherRows<float> run(const Batch& batch, const Chunk& chunk, double share);

 private:
  const Teacher& teacher_;
  DecoderGradient<float> pass_;
  HeadGradient<float> head_;
};

}  // namespace nibble
