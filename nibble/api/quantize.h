// A smaller copy of a model.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/api/control.h"
#include "nibble/api/export.h"

namespace nibble::api {

/// As `nibble quantize --help` explains them.
struct QuantizeOptions {
  std::string scheme = "int8";            ///< "int4:g32", "nf4", "int8:a8"
  std::string method = "rtn";             ///< "gptq", "yaqa", "awq+gptq"
  std::string scale_dtype = "f16";        ///< f16, bf16 or f32
  std::vector<std::string> keep = {};     ///< PATTERN[=DTYPE]: tensors that stay plain
  std::vector<std::string> set = {};      ///< PATTERN=SCHEME: another scheme for some tensors
  std::vector<std::string> also = {};     ///< "lm_head", "embeddings": covered as well
  std::vector<std::string> formats = {};  ///< "gptq", "awq", ...; empty: by the output's name
  std::string type = {};                  ///< a mixture of a .gguf: "Q4_K_M", instead of scheme
  std::string calibration_text = {};      ///< path; empty: text that the model generates
  std::optional<int64_t> calibration_samples = {}, calibration_length = {};
  std::optional<uint64_t> seed = {};
  std::string importance_file = {};        ///< of llama-imatrix, instead of a text
  std::vector<std::string> adapters = {};  ///< PATH[=WEIGHT], merged into the model first
  int64_t max_memory = 0;                  ///< bytes; 0: no limit
  bool force = false;                      ///< replace an output that exists
  bool resume = false;                     ///< go on where a run was stopped
  bool verify = false;                     ///< run what was written before it gets its name
  bool strict = false;                     ///< stop where calibration would warn
};

/// Of `choose_bits()`: exactly one is set.
struct BitBudget {
  std::optional<double> bits = {};       ///< a weight
  std::optional<double> max_kl = {};     ///< nats from the model as it was
  std::optional<int64_t> max_size = {};  ///< bytes of the tensor files
};

struct Quantized {
  std::vector<std::string> written;  ///< paths
  int64_t file_bytes = 0, input_file_bytes = 0;
  double bits_per_weight = 0;
  std::vector<std::string> warnings;
  std::string json;  ///< the document of `nibble quantize --json`, or of `nibble auto --json`
};

/// Makes `out`, a folder or a NAME.gguf, of a model as Model::open() takes it. It appears complete
/// or not at all. Throws Error.
NIBBLE_API Quantized quantize(const std::string& model, const std::string& out,
                              const QuantizeOptions& options = {}, const Control& control = {});

/// The same with bits for each matrix that a budget leaves it; by the method "best" where `options`
/// names "rtn".
NIBBLE_API Quantized choose_bits(const std::string& model, const std::string& out,
                                 const BitBudget& budget, const QuantizeOptions& options = {},
                                 const Control& control = {});

}  // namespace nibble::api
