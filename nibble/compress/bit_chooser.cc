#include "nibble/compress/bit_chooser.h"

#include <algorithm>

#include "nibble/quant/bits.h"

namespace nibble {

Rest rest_of(const std::vector<ParameterPlan>& plans, const std::vector<MatrixCosts>& matrices,
             DType scale_dtype) {
  Rest out;
  for (const ParameterPlan& p : plans) {
    const bool chosen = std::any_of(matrices.begin(), matrices.end(),
                                    [&](const MatrixCosts& m) { return m.name == p.spec.name; });
    if (p.candidate) out.weights += p.spec.shape.elements();
    if (chosen) continue;
    const int64_t bytes =
        p.written() ? planned_bytes(*p.written(), p.spec.shape[0], p.spec.shape[1], scale_dtype)
                    : p.spec.shape.elements() * size_of(p.dtype);
    (p.candidate ? out.candidate_bytes : out.other_bytes) += bytes;
  }
  return out;
}

BitChooser::BitChooser(const std::vector<MatrixCosts>& matrices, const Rest& rest) : rest_(rest) {
  for (const MatrixCosts& m : matrices) {
    items_.emplace_back();
    for (const SchemeCost& c : m.costs) items_.back().push_back({c.bytes, c.kl});
  }
}

AutoChoice BitChooser::within(int64_t bytes) const {
  const KnapsackResult r = solve_knapsack(items_, bytes);
  return {r.chosen, bits(r.size), r.cost, r.lower_bound};
}

int64_t BitChooser::bytes_for(double bits) const {
  return static_cast<int64_t>(bits * static_cast<double>(rest_.weights) / 8) -
         rest_.candidate_bytes;
}

double BitChooser::bits(int64_t bytes) const {
  return 8.0 * static_cast<double>(bytes + rest_.candidate_bytes) /
         static_cast<double>(rest_.weights);
}

int64_t BitChooser::extreme(bool largest) const {
  int64_t sum = 0;
  for (const auto& options : items_) {
    int64_t best = options[0].size;
    for (const KnapsackOption& o : options)
      best = largest ? std::max(best, o.size) : std::min(best, o.size);
    sum += best;
  }
  return sum;
}

int64_t BitChooser::size_for(double kl) const {
  int64_t low = extreme(false), high = extreme(true);
  while (high - low > std::max<int64_t>(1, high / 2000)) {
    const int64_t middle = low + (high - low) / 2;
    (within(middle).predicted_kl <= kl ? high : low) = middle;
  }
  return high;
}

}  // namespace nibble
