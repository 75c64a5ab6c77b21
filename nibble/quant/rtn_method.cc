// rtn as a method, with or without the search for the best clipping.
#include "nibble/quant/grid_search.h"
#include "nibble/quant/method.h"
#include "nibble/quant/weight_error.h"

namespace nibble {
namespace {

WeightResult quantize(const WeightTask& task) {
  const MethodOptions& o = task.options;
  WeightResult out;
  if (!o.clip) {
    out.weight = quantize_rtn(task.weight, task.scheme,
                              {o.scale_dtype, o.half_step_divisor, o.joint_magnitude, task.threads},
                              task.name);
    return out;
  }
  const std::vector<float> w = values_of(task);
  const int64_t n = task.weight.shape()[0], k = task.weight.shape()[1];
  GridMatrix m(storable_scheme(task.scheme, k), n, k, o.scale_dtype, "rtn with a clipping search");
  search_grids(m, w, {}, task.threads);
  m.require_finite_scales(task.name);
  out.weight = m.pack();
  return out;
}

}  // namespace

Method rtn_method(std::string_view name, std::string_view summary) {
  return {name, summary, Calibration::nothing, quantize};
}

}  // namespace nibble
