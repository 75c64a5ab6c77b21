// Random layers whose inputs are correlated, as a model's are.
#pragma once

#include <cmath>
#include <vector>

#include "nibble/core/random.h"
#include "nibble/quant/calibration.h"

namespace nibble::test {

struct Layer {
  int64_t n = 0, k = 0, rows = 0;
  std::vector<float> w, x;  ///< [n, k], [rows, k]
  InputStatistics input;
};

/// x = z A with z [rows, rank] and A [rank, k] normal; some channels much larger than the others.
/// A rank below k, or fewer rows than k, makes H singular.
inline Layer correlated_layer(uint64_t seed, int64_t n, int64_t k, int64_t rank, int64_t rows) {
  PyRandom random(seed);
  const auto normal = [&random](size_t count) {
    std::vector<float> out(count);
    for (float& v : out) v = static_cast<float>(random.gauss(0, 1));
    return out;
  };
  Layer out{n, k, rows, normal(static_cast<size_t>(n * k)), {}, {}};
  const auto a = normal(static_cast<size_t>(rank * k)),
             z = normal(static_cast<size_t>(rows * rank));
  out.x.assign(static_cast<size_t>(rows * k), 0);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t p = 0; p < rank; ++p)
      for (int64_t c = 0; c < k; ++c)
        out.x[static_cast<size_t>(r * k + c)] += z[static_cast<size_t>(r * rank + p)] *
                                                 a[static_cast<size_t>(p * k + c)] *
                                                 (c % 11 == 3 ? 8.0f : 1.0f);
  StatisticsCollector collector(k, {true, false, 0});
  collector.add({out.x, {}, {}}, rows, 1);
  out.input = collector.finish(1);
  return out;
}

}  // namespace nibble::test
