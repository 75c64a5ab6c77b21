// The weights of a decoder that stays as it is while something beside it is trained: in memory as
// they are stored.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <vector>

#include "nibble/quant/weight.h"
#include "nibble/train/layout.h"

namespace nibble {

class FrozenWeights {
 public:
  /// What is added to layout.products[product].
  using Added = std::function<std::span<const LowRankView<float>>(size_t product)>;
  /// Matrices are kept as `load` gives them, all else as f32. Error{corrupt} for one of another
  /// shape, or that is not finite.
  FrozenWeights(const ParamLayout& layout, const WeightLoader& load);
  FrozenWeights(const FrozenWeights&) = delete;
  FrozenWeights& operator=(const FrozenWeights&) = delete;

  /// Refers to this, and to what `added` gives.
  DecoderView<float> view(const Added& added) const;
  int64_t bytes() const;

 private:
  enum class Kept { vector, table, matrix };
  Kept kept(size_t row) const;
  void keep(size_t row, const Weight& weight);
  const float* values(const ParamKey& key) const;
  StoredMatrix product(const MatrixSlot& slot) const;

  const ParamLayout& layout_;
  std::vector<Weight> matrices_;            // by row of the table; empty where it is none
  Buffer<float> vectors_;                   // as the layout has them behind its matrices
  std::map<size_t, Buffer<float>> tables_;  // positions, taps
  std::vector<StoredMatrix> products_;      // as layout.products
  StoredMatrix tokens_;
};

}  // namespace nibble
