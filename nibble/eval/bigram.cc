#include "nibble/eval/bigram.h"

#include <cmath>
#include <vector>

namespace nibble {

double bigram_loss(const SequenceData& data, int64_t vocab_size) {
  const auto v = static_cast<size_t>(vocab_size);
  std::vector<double> pairs(v * v, 1.0), totals(v, static_cast<double>(vocab_size));
  const auto each_pair = [](const auto& sequences, auto f) {
    for (const auto& s : sequences) {
      for (size_t i = 0; i + 1 < s.size(); ++i)
        f(static_cast<size_t>(s[i]), static_cast<size_t>(s[i + 1]));
    }
  };
  each_pair(data.train, [&](size_t a, size_t b) {
    pairs[a * v + b] += 1;
    totals[a] += 1;
  });
  double nll = 0, count = 0;
  each_pair(data.heldout, [&](size_t a, size_t b) {
    nll -= std::log(pairs[a * v + b] / totals[a]);
    count += 1;
  });
  return count > 0 ? nll / count : 0;
}

}  // namespace nibble
