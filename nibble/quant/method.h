// Method: how the numbers of a scheme are chosen. One file for each, named in list.inc.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/quant/calibration.h"
#include "nibble/quant/output_metric.h"
#include "nibble/quant/rtn.h"

namespace nibble {

/// What a method must have seen of a layer's inputs before it can quantize its weight. Each has
/// what the one before it has, too.
/// fisher: how much the model minds errors of its outputs, as well.
enum class Calibration { nothing, absmax, hessian, fisher };

/// What can be said to every method; each reads what concerns it.
struct MethodOptions {
  DType scale_dtype = DType::f16;
  bool half_step_divisor = false;  ///< rtn: see RtnOptions
  float joint_magnitude = 0;       ///< rtn: see RtnOptions
  bool clip = false;               ///< rtn: search each group's scale for the least squared error
  double damping = 0.1;            ///< gptq, yaqa: share by which the diagonal of H is raised
  bool act_order = true;           ///< gptq, yaqa: columns with the largest inputs first
  int sweeps = 4;                  ///< gptq, yaqa: passes of block coordinate descent behind it
  int steps = 200;                 ///< autoround, hqq: iterations
};

/// One weight to be quantized.
struct WeightTask {
  const Tensor& weight;  ///< f32, f16 or bf16 [n, k]
  QuantScheme scheme;
  const MethodOptions& options;
  std::string_view name;                   ///< for messages
  const InputStatistics* input = nullptr;  ///< null where nothing was calibrated
  int threads = 1;
  const OutputMetric* output = nullptr;  ///< null where all outputs count alike
};

struct WeightResult {
  QuantizedTensor weight;
  /// Mean squared error of an output over the calibration rows, tr(dW H dW^T) / n, or, with an
  /// output metric G, tr(G dW H dW^T) / tr(G); negative where there is no H. rtn_error is what rtn,
  /// with the better of its two divisors, would have had.
  double error = -1, rtn_error = -1;
  double damping = 0;      ///< that was needed
  bool fell_back = false;  ///< to rtn
  std::string note;        ///< what a user should know, or nothing
};

struct Method {
  std::string_view name;     ///< "rtn"
  std::string_view summary;  ///< one line for --help
  Calibration needs = Calibration::nothing;
  WeightResult (*quantize)(const WeightTask& task) = nullptr;
  bool second_order = false;  ///< reads damping, act_order and sweeps
};

/// Every method, in the order of list.inc.
std::span<const Method> methods();
/// By name; Error{invalid_argument} lists those that exist.
const Method& method(std::string_view name);

/// The weight as f32, checked: two extents, none 0, nothing that is not finite. For methods.
std::vector<float> values_of(const WeightTask& task);
/// rtn with the divisor that has the smaller error against H, or against all columns alike where
/// there is no H; asymmetric schemes have one.
QuantizedTensor better_rtn(const WeightTask& task);

}  // namespace nibble
