// Importance-weighted rounding: the scale of each group is searched for the least squared error
// with each column weighted by the mean square of its input, the diagonal of H. The idea of the
// importance matrix is llama.cpp's (I. Kawrakow, pull request 4861, 2024).
#include <algorithm>
#include <cmath>

#include "nibble/quant/grid_search.h"
#include "nibble/quant/method.h"
#include "nibble/quant/weight_error.h"

namespace nibble {
namespace {

// A channel that calibration saw little of keeps a share of the mean weight, so that nothing of it
// is given up for nothing.
constexpr double kFloor = 0.01;

WeightResult quantize_imatrix(const WeightTask& task) {
  const std::vector<float> w = values_of(task);
  WeightResult out;
  const std::vector<float> importance = usable_importance(*task.input, kFloor, out.note);
  const int64_t n = task.weight.shape()[0], k = task.weight.shape()[1];
  GridMatrix m(storable_scheme(task.scheme, k), n, k, task.options.scale_dtype, "imatrix");
  search_grids(m, w, importance, task.threads);
  m.require_finite_scales(task.name);
  out.weight = m.pack();
  measure(task, w, out);
  return out;
}

}  // namespace

Method imatrix_method(std::string_view name, std::string_view summary) {
  return {name, summary, Calibration::absmax, quantize_imatrix};
}

}  // namespace nibble
