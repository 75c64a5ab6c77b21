#include "nibble/compress/calibrated_weight.h"

#include <fmt/format.h>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"

namespace nibble {

FinishedWeight calibrated_weight(const CalibratedTask& task, const std::string& note, int threads) {
  const QuantizeOptions& options = task.options;
  const std::string& name = task.plan.spec.name;
  refuse_nonfinite(task.weight, name);
  MethodOptions tuning = options.tuning;
  tuning.scale_dtype = options.scale_dtype;
  tuning.half_step_divisor = options.half_step_divisor;
  WeightResult result = method(options.method)
                            .quantize({task.weight, *task.plan.scheme, tuning, name, &task.input,
                                       threads, task.output});
  if (!note.empty()) result.note += (result.note.empty() ? "" : "; ") + note;
  if (options.strict && !result.note.empty())
    throw corrupt(result.note + " (`strict`)").at("tensor " + in_quotes(name));
  return {name,
          std::move(result.weight),
          {name, result.error, result.rtn_error, result.damping, result.fell_back, result.note,
           task.input.rows, task.plan.spec.expert, task.input.mixed}};
}

std::string describe(const LayerReport& r) {
  if (r.error < 0) return r.name;
  return fmt::format("{} error {:.3g} (rtn {:.3g}){}", r.name, r.error, r.rtn_error,
                     r.damping > 0 ? fmt::format(", damping {:.3g}", r.damping) : "");
}

}  // namespace nibble
