// WeightLayout: how a tool lays quantized weights in a Hugging Face folder, and how its config says
// so. Each is described by weight_layout() of its namespace and has a line in list.inc; use them
// through quantized_layout.h.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/json.h"
#include "nibble/core/tensor_source.h"
#include "nibble/format/module_targets.h"
#include "nibble/format/safetensors.h"
#include "nibble/quant/quantized_tensor.h"

namespace nibble {

/// Which module ("layers.0.attn.wq", without ".weight") is stored in which scheme. Modules not
/// named are plain.
using SchemeMap = std::map<std::string, QuantScheme, std::less<>>;

struct WeightLayout;

/// The layout that modules lie in, null where that is the one which holds each type; and what a
/// config says of all of them that no scheme can.
struct LayoutInUse {
  const WeightLayout* layout = nullptr;
  int64_t block_rows = 1;                       ///< outputs that have their scales in common
  std::optional<float> outlier_threshold = {};  ///< of a8outlier
};

/// What a config says of a model: the schemes of its modules, how they lie, and what nibble does
/// otherwise than the config asks for, a line each.
struct StoredModules {
  SchemeMap schemes;
  LayoutInUse layout = {};
  std::vector<std::string> warnings = {};
};

/// What is null is not done: a layout that others write and nibble only reads.
struct WeightLayout {
  std::string_view holds_what = {};  ///< for messages: "nf4 and fp4 with groups of ..."
  /// Whether weights of a scheme lie in it, whether it can be said, and all of a model.
  bool (*holds)(const QuantScheme& scheme) = nullptr;
  bool (*can_hold)(const QuantScheme& scheme) = nullptr;
  bool (*can_say)(const SchemeMap& schemes) = nullptr;
  /// Why a weight [n, k] of a scheme that it can hold cannot lie in it; empty where it can.
  std::string (*misfit)(const QuantScheme& scheme, const Shape& shape) = nullptr;
  std::string_view usual_scheme = {};  ///< what a model is quantized to where nobody says
  /// A key of config.json and a file that have the value of `quantization_config` as well.
  std::string_view other_key = {}, other_file = {};
  bool conv1d = false;  ///< its programs know of matrices that plain files hold as [k, n]
  /// The tensors of a weight; the same before it is made; and the reverse, whoever wrote them.
  std::vector<NamedTensor> (*to_tensors)(const std::string& module,
                                         const QuantizedTensor& q) = nullptr;
  std::vector<TensorInfo> (*infos)(const std::string& module, const QuantScheme& scheme,
                                   const Shape& shape, DType scale_dtype) = nullptr;
  QuantizedTensor (*from_tensors)(const TensorSource& source, const std::string& module,
                                  const QuantScheme& scheme, const LayoutInUse& use) = nullptr;
  std::vector<std::string> (*stored_names)(const TensorSource& source, const std::string& module,
                                           const QuantScheme& scheme) = nullptr;
  /// The value of `quantization_config`, and the reverse: every key is honoured, harmless or
  /// refused.
  void (*write_config)(const SchemeMap& schemes, const std::vector<std::string>& plain,
                       JsonWriter& out) = nullptr;
  StoredModules (*read_config)(const JsonFields& config, std::span<const MatrixModule> modules,
                               const TensorSource& tensors) = nullptr;
};

}  // namespace nibble
