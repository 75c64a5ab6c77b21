// What a model holds, how a tensor is distributed, where its activations have outliers.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "nibble/compress/activation_study.h"
#include "nibble/core/exec.h"
#include "nibble/core/tensor.h"
#include "nibble/eval/distribution.h"
#include "nibble/jobs/notice.h"

namespace nibble {

struct TensorRow {
  std::string name;
  Shape shape;
  std::string scheme;      ///< or its dtype
  std::string type;        ///< what its file calls that: "Q4_K"; empty where it has no such word
  std::string kernel;      ///< what multiplies it; empty where nothing does
  int64_t bytes = 0;       ///< as it is stored
  int64_t not_finite = 0;  ///< values; of plain tensors: quantized ones are refused when loaded
};

/// What a context of text takes beside the weights, in bytes.
struct MemoryPlan {
  int64_t weights = 0, weights_per_token = 0;
  int64_t context = 0;             ///< tokens
  int64_t chunk = 0, scratch = 0;  ///< tokens of a prefill, and what it takes
  std::vector<std::pair<std::string, int64_t>> kv_per_token;  ///< by the cache's type
};

struct InspectResult {
  std::string path, model_type;
  int64_t parameters = 0, file_bytes = 0;
  double bits_per_weight = 0;
  std::map<std::string, int64_t> parameters_by_scheme;
  std::vector<TensorRow> tensors;
  std::optional<MemoryPlan> memory;   ///< of a language model
  std::vector<std::string> warnings;  ///< of opening it
};

/// PATH[=WEIGHT] of adapters on a model, as ModelChoice has them.
using Adapters = std::vector<std::string>;

/// Loads the model that resolve_model() finds under the name `model`.
InspectResult inspect(const std::string& model, const Exec& exec, const NoticeHook& tell = {},
                      const Adapters& adapters = {});

/// Of one tensor's weights, dequantized. Error{not_found} where the model has none of this name.
OutlierStats inspect_tensor(const std::string& model, const std::string& tensor, double sigmas,
                            const NoticeHook& tell = {}, const Adapters& adapters = {});

struct ActivationJob {
  std::string model;
  Adapters adapters = {};
  CalibrationOptions text;
  double magnitude = 6, sigmas = 6;  ///< values beyond either are outliers
};
/// study_activations() of a model on text from a file, or on what it generates.
ActivationStudy inspect_activations(const ActivationJob& job, const Exec& exec,
                                    const NoticeHook& tell = {});

}  // namespace nibble
