// The pipeline: a model folder in, a quantized model folder out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/model/model_folder.h"
#include "nibble/quant/scheme.h"

namespace nibble {

/// Tensors that stay as they are (or become another float dtype): a glob on stored names, `*` any
/// run of characters, `?` one.
struct KeepRule {
  std::string pattern;
  std::optional<DType> dtype;  ///< f32, f16 or bf16; unset keeps what the input has
};

/// "PATTERN" or "PATTERN=dtype". Error{invalid_argument} for a dtype that is not a float one.
KeepRule parse_keep_rule(std::string_view text);
/// True where `name` matches a glob; linear in the length of both for patterns with few stars.
bool glob_match(std::string_view pattern, std::string_view name);

struct QuantizeOptions {
  QuantScheme scheme;
  std::string method = "rtn";
  DType scale_dtype = DType::f16;
  bool half_step_divisor = false;
  std::vector<KeepRule> keep;
  std::vector<std::string> also;  ///< "lm_head", "embeddings": covered besides the default
  bool force = false;             ///< replace an existing output
  std::string command;            ///< the command line, for nibble.json
};

/// What will happen to one parameter, decided before anything is computed.
struct ParameterPlan {
  ParamSpec spec;
  bool candidate = false;  ///< covered by the scheme unless kept; counted in bits_per_weight
  std::optional<QuantScheme> scheme;  ///< set where it is quantized
  DType dtype = DType::f32;           ///< else its stored dtype
};

/// bits_per_weight of a plan (DESIGN section 8): 8 x stored bytes of all candidate matrices / their
/// weights.
double planned_bits_per_weight(const std::vector<ParameterPlan>& plans, DType scale_dtype);

struct QuantizeResult {
  int64_t file_bytes = 0, input_file_bytes = 0;
  int64_t quantized = 0, kept = 0;  ///< matrices
  double bits_per_weight = 0;
  std::vector<std::string>
      warnings;  ///< "tensor X: group 32 does not divide 27: stored as int8:channel"
};

/// Which parameters are quantized how, with the warnings that belong to it. Error{invalid_argument}
/// for a keep pattern that matches nothing.
std::vector<ParameterPlan> plan_quantization(const ModelFolder& model,
                                             const QuantizeOptions& options,
                                             std::vector<std::string>& warnings);

/// Quantizes the folder `in` into the folder `out`, which appears complete or not at all. Tensors
/// are read and written one at a time. Errors before any work: output equal to input, output exists
/// without force, a scheme no layout can hold, a model that is quantized already.
QuantizeResult quantize_model(const std::string& in, const std::string& out,
                              const QuantizeOptions& options, const Exec& exec);

/// The same in memory, nothing written: a model to measure, as if it had been loaded from the
/// folder that quantize_model() makes. The path of the result is the input's.
ModelFolder quantize_in_memory(const ModelFolder& model, const QuantizeOptions& options,
                               const Exec& exec);

/// The weights of one parameter quantized as its plan says; for measuring a tensor alone.
Weight quantize_parameter(const ModelFolder& model, const ParameterPlan& plan,
                          const QuantizeOptions& options);

}  // namespace nibble
