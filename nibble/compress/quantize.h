// The pipeline: a model folder in, a quantized model folder out.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "nibble/compress/calibration_text.h"
#include "nibble/compress/export_check.h"
#include "nibble/compress/fisher_walk.h"
#include "nibble/compress/layer_store.h"
#include "nibble/core/exec.h"
#include "nibble/core/json.h"
#include "nibble/model/output_format.h"
#include "nibble/quant/method.h"
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

/// Tensors that another scheme is chosen for: "*layers.0.*=int8".
struct SetRule {
  std::string pattern;
  QuantScheme scheme;
};
SetRule parse_set_rule(std::string_view text);

/// Which inputs a calibrated method sees.
enum class CalibrationInputs {
  quantized,  ///< those that the parts quantized before make
  corrected,  ///< the same, and weights are first changed to make up for the difference
};

std::string_view to_string(CalibrationInputs inputs);
CalibrationInputs parse_calibration_inputs(std::string_view name);

/// How each layer is trained where the method ends in +qat (compress/block_training.h).
struct BlockTrainingOptions {
  int64_t samples = 512;     ///< of the calibration text, each CalibrationOptions::length tokens
  int64_t epochs = 6;        ///< times that they are gone through
  int64_t batch = 16;        ///< samples a step
  double rate = 2e-4;        ///< Adam's learning rate of weights; 0: step sizes alone are learnt
  double scale_rate = 1e-3;  ///< of step sizes, as a share of each
};

struct QuantizeOptions {
  QuantScheme scheme;
  std::string method = "rtn";  ///< a chain: "gptq", "awq+gptq" (compress/method_chain.h)
  DType scale_dtype = DType::f16;
  bool half_step_divisor = false;
  std::vector<KeepRule> keep;
  std::vector<SetRule> set;       ///< the first that matches a tensor decides; keep goes before
  std::vector<std::string> also;  ///< "lm_head", "embeddings": covered besides the default
  CalibrationOptions calibration;
  /// Path of an importance matrix of llama.cpp's (format/importance_file.h), which stands in for
  /// calibration: no text is read, nothing is run. Empty: none.
  std::string importance_file;
  CalibrationInputs inputs = CalibrationInputs::corrected;
  double correction = 1;            ///< share of the difference that is made up for
  double correction_damping = 0.1;  ///< of H where that is solved for
  /// Models at least that wide, whose coarsest scheme has at most 5 bits, are run through
  /// calibration with products in bf16, where the processor has them
  /// (LinearOptions::bf16_products).
  int64_t bf16_width = 1024;
  MethodOptions tuning;           ///< what else the method is told
  BlockTrainingOptions training;  ///< of qat behind a method
  bool trains_blocks = false;     ///< as the chain says (without_steps())
  double outlier_threshold = 6;   ///< of a8outlier: inputs beyond it stay f32
  /// A mixture of types by its name, "Q4_K_M" (gguf_mixture.h): decides scheme and set; empty:
  /// none.
  std::string type;
  /// What is written (model/output_format.h); empty: by the name of the output. Of several each
  /// gets the same codes and scales.
  std::vector<OutputFormat> formats = {};
  bool in_gguf = false;      ///< one of them is a GGUF file: its types only
  bool in_memory = false;    ///< nothing is written: what a quantized source holds may stay in it
  bool force = false;        ///< replace an existing output
  int64_t max_memory = 0;    ///< bytes, 0: no limit; activations go to a file where memory is short
  std::string spill_folder;  ///< for activations; empty: in memory
  bool resume = false;       ///< go on from OUT.resume
  bool verify = false;       ///< run what was written beside the input before it appears
  bool strict = false;       ///< what calibration would warn of is Error{corrupt}
  std::string command;       ///< the command line, for nibble.json
  /// PATH[=WEIGHT] of LoRA adapters that are merged into the input first (model/adapted_model.h).
  std::vector<std::string> adapters = {};
};

/// What became of one fold site in a rescaling step.
struct SiteReport {
  std::string step;    ///< "awq"
  std::string tensor;  ///< the first weight that reads it
  double exponent = 0;
  double error = 0, plain_error = 0;  ///< as SiteScales (quant/rescale.h) has them
  std::string note;                   ///< why it was left alone
};
/// One object of a JSON array.
void write_report(const SiteReport& report, JsonWriter& out);

/// What will happen to one parameter, decided before anything is computed.
struct ParameterPlan {
  ParamSpec spec;
  bool candidate = false;  ///< covered by the scheme unless kept; counted in bits_per_weight
  std::optional<QuantScheme> scheme;  ///< set where it is quantized
  DType dtype = DType::f32;           ///< else its stored dtype; with `left_in` its scales'
  /// Set where it is left as a quantized source has it, with its codes.
  std::optional<QuantScheme> left_in = std::nullopt;
  /// What it is written in; nothing where that is `dtype`.
  const std::optional<QuantScheme>& written() const { return left_in ? left_in : scheme; }
};

/// bits_per_weight of a plan (DESIGN section 8): 8 x stored bytes of all candidate matrices / their
/// weights.
double planned_bits_per_weight(const std::vector<ParameterPlan>& plans, DType scale_dtype);

/// One of the things that were made.
struct Written {
  std::string path;
  std::string_view format;  ///< as OutputFormat::name
  int64_t file_bytes = 0;
};

/// The importance matrix that weights were rounded by.
struct ImportanceSource {
  std::string name;                           ///< of the file, without its folder
  int64_t entries = 0;                        ///< weights that it is about
  std::optional<int64_t> chunks, chunk_size;  ///< of the text it was made from, where it says so
  std::string hash;                           ///< of its bytes
};

struct QuantizeResult {
  int64_t file_bytes = 0;  ///< of the first that was written
  int64_t input_file_bytes = 0;
  std::vector<Written> written;                      ///< all of them
  int64_t quantized = 0, kept = 0;                   ///< matrices
  int64_t parameters = 0, parameters_quantized = 0;  ///< numbers of the whole model
  std::map<std::string, int64_t> stored;  ///< the same by what they are stored in: "int8", "f16"
  double bits_per_weight = 0;
  std::vector<LayerReport> layers;  ///< of calibrated methods, in the order of the work
  std::string calibration;          ///< "text that the model generated, 128 samples, 65536 tokens"
  std::string calibration_hash;     ///< of its tokens; of options.importance_file, of the file
  std::optional<ImportanceSource> importance;  ///< where that stood in for a text
  std::vector<SiteReport> sites;               ///< of rescaling steps, in the order of the work
  int64_t resumed_layers = 0;                  ///< taken over from a run that was stopped
  std::optional<Verified> verified;            ///< where options.verify asks
  std::vector<std::string>
      warnings;  ///< "tensor X: group 32 does not divide 27: stored as int8:channel"
};

/// The model `in` as one that is quantized: its floats (model/plain_model.h), options.adapters
/// merged into them.
Model quantization_source(const std::string& in, const QuantizeOptions& options, int threads);

/// `options` as they count for `model` and the output `out`: its format by its name where none is
/// given, a mixture as the rules that it stands for. Error{invalid_argument} for a mixture that is
/// to be anything but a GGUF file.
QuantizeOptions options_for_output(const Model& model, const std::string& out,
                                   QuantizeOptions options);

/// Errors before any work: an unknown method or what options.also cannot cover.
void check_options(const QuantizeOptions& options);

/// Which parameters are quantized how, with the warnings that belong to it. Error{invalid_argument}
/// for a keep pattern that matches nothing.
std::vector<ParameterPlan> plan_quantization(const Model& model, const QuantizeOptions& options,
                                             std::vector<std::string>& warnings);

/// Error{unsupported} for a scheme that no Hugging Face folder holds.
void require_folder_scheme(const QuantScheme& scheme);

/// Error{unsupported} for what one of the formats cannot hold of the plans, before anything is
/// computed.
void require_plans(const Model& model, const QuantizeOptions& options);

class AtomicFolder;

/// What has been made before, for other options: null where it is still to be made.
struct Known {
  const CalibrationText* text = nullptr;   ///< what options.calibration gives
  const OutputMetrics* metrics = nullptr;  ///< of the model on that text
  AtomicFolder* folder = nullptr;          ///< what quantize_model() is to fill and commit
};

/// Quantizes the folder `in` into `out` (output_targets() where options.formats has several), each
/// of which appears complete or not at all. Tensors are read and written one at a time. Errors
/// before any work: output equal to input, output exists without force, a scheme no layout can
/// hold. A model that is quantized already is read as the floats that it stands for
/// (model/plain_model.h), and a warning says so.
QuantizeResult quantize_model(const std::string& in, const std::string& out,
                              const QuantizeOptions& options, const Exec& exec,
                              const Known& known = {});

/// The same in memory, nothing written: a model to measure, as if it had been loaded from the
/// folder that quantize_model() makes. The path of the result is the input's.
Model quantize_in_memory(const Model& model, QuantizeOptions options, const Exec& exec,
                         const Known& known = {});

/// Plain weights in another float type. Error{corrupt} naming the tensor where one that is finite
/// is beyond its range.
Tensor narrowed(const Tensor& w, DType dtype, std::string_view name);

/// The weights of one parameter quantized as its plan says, by a method that needs no calibration
/// (where the options' method does, rtn with a clipping search); for measuring a tensor alone.
Weight quantize_parameter(const Model& model, const ParameterPlan& plan,
                          const QuantizeOptions& options, int threads);

}  // namespace nibble
