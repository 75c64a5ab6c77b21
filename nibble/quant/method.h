// Method: how the numbers of a scheme are chosen. One file for each, named in list.inc.
#pragma once

#include <span>
#include <string_view>

#include "nibble/quant/rtn.h"

namespace nibble {

/// What a method must have seen of a layer's inputs before it can quantize its weight.
enum class Calibration { nothing, absmax, hessian };

struct Method {
  std::string_view name;     ///< "rtn"
  std::string_view summary;  ///< one line for --help
  Calibration needs = Calibration::nothing;
  /// Quantizes one weight with nothing but itself; null for methods that need calibration.
  QuantizedTensor (*quantize)(const Tensor& w, const QuantScheme& scheme, const RtnOptions& options,
                              std::string_view name) = nullptr;
};

/// Every method, in the order of list.inc.
std::span<const Method> methods();
/// By name; Error{invalid_argument} lists those that exist.
const Method& method(std::string_view name);

}  // namespace nibble
