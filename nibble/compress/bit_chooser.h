// The best scheme of every matrix for a number of bytes, by what each costs at each scheme.
#pragma once

#include <cstdint>
#include <vector>

#include "nibble/compress/quantize.h"
#include "nibble/compress/sensitivity.h"
#include "nibble/quant/knapsack.h"

namespace nibble {

struct AutoChoice {
  std::vector<size_t> chosen;  ///< of each matrix's costs
  double bits_per_weight = 0, predicted_kl = 0, lower_bound = 0;
};

/// Sizes of everything that is not chosen, and how many weights bits_per_weight is over.
struct Rest {
  int64_t candidate_bytes = 0, other_bytes = 0, weights = 0;
};
Rest rest_of(const std::vector<ParameterPlan>& plans, const std::vector<MatrixCosts>& matrices,
             DType scale_dtype);

/// All bytes are those of the matrices that are chosen for.
class BitChooser {
 public:
  BitChooser(const std::vector<MatrixCosts>& matrices, const Rest& rest);

  /// The choice of at most so many bytes that is predicted to cost least; `bytes` is not below
  /// extreme(false).
  AutoChoice within(int64_t bytes) const;
  /// What is left for the matrices where the whole model has `bits` a weight.
  int64_t bytes_for(double bits) const;
  /// Bits a weight of the whole model.
  double bits(int64_t bytes) const;
  /// The largest or smallest that can be chosen.
  int64_t extreme(bool largest) const;
  /// The smallest size whose prediction is at most `kl`.
  int64_t size_for(double kl) const;

 private:
  const Rest rest_;
  std::vector<std::vector<KnapsackOption>> items_;
};

}  // namespace nibble
