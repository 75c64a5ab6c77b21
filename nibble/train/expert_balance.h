// The loss that keeps experts about equally busy (Shazeer et al. 2017; Fedus et al. 2022, equation
// 4), as transformers has it: over the rows of all layers together,
//
//   experts * sum_e mean(p[e]) * chosen[e] / rows
//
// with p the softmax of a router's logits and chosen[e] how often e was among a row's experts,
// which has no gradient. Over the rows that go through the model together: a piece of a batch.
#pragma once

#include <cstdint>
#include <vector>

namespace nibble {

struct ExpertBalance {
  double coefficient = 0;  ///< 0: there is no such loss
  bool counting = false;   ///< forward passes are the ones that count
  double scale = 0;        ///< backward: what the loss, times the coefficient, is multiplied with
  int64_t rows = 0;        ///< of all layers
  std::vector<double> chosen, probability;  ///< sums over them, of each expert

  void begin() {
    counting = true;
    rows = 0;
    chosen.clear();
    probability.clear();
  }
  double loss() const {
    double sum = 0;
    for (size_t e = 0; e < chosen.size(); ++e) sum += probability[e] * chosen[e];
    const auto all = static_cast<double>(rows);
    return rows == 0 ? 0 : static_cast<double>(chosen.size()) * sum / (all * all);
  }
  /// d(scale * coefficient * loss) / d(p[e]) of one row of one layer.
  double slope(size_t e) const {
    const auto all = static_cast<double>(rows);
    return scale * coefficient * static_cast<double>(chosen.size()) * chosen[e] / (all * all);
  }
};

}  // namespace nibble
