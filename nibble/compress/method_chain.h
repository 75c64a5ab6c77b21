// What QuantizeOptions::method says: rescalers and rotations from left to right, then one
// quantizer, and training behind it: "gptq", "awq", "awq+gptq", "rotate+gptq", "smoothquant",
// "yaqa+qat".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/compress/quantize.h"

namespace nibble {

struct MethodChain {
  std::vector<std::string> steps;  ///< "awq", "smoothquant", "rotate"
  std::string quantizer;           ///< a name of quant/list.inc
  bool spare_outliers = false;     ///< llm_int8: inputs are a8outlier
  bool trains = false;             ///< qat: each layer, behind the quantizer
};

/// Error{invalid_argument} lists what there is, and says where a quantizer is not the last.
MethodChain parse_method_chain(std::string_view text);
/// Everything that may stand in a chain: name and one line for --help.
std::vector<std::pair<std::string_view, std::string_view>> chain_parts();

/// The options that are left when the steps are done: method is the chain's quantizer, and schemes
/// have the activations that it asks for, and trains_blocks is set where the chain trains.
QuantizeOptions without_steps(const QuantizeOptions& options);

}  // namespace nibble
