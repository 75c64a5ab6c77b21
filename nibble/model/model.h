// A model: what it is and where its weights lie, whatever format they lie in, and writing one as a
// Hugging Face folder.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "nibble/format/quantized_layout.h"
#include "nibble/format/weight_source.h"
#include "nibble/model/companions.h"
#include "nibble/model/config.h"
#include "nibble/model/decoder.h"
#include "nibble/model/mlp_model.h"
#include "nibble/text/char_tokenizer.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

using ModelConfig = std::variant<DecoderConfig, MlpConfig>;

/// Every parameter of either kind of model.
std::vector<ParamSpec> parameter_table(const ModelConfig& config);
std::string_view model_type(const ModelConfig& config);
/// True for models so small that quantizing covers embeddings and head too, unless told otherwise.
bool covers_every_matrix(const ModelConfig& config);

/// An opened model: what it is and where its weights lie. None has been read yet.
struct Model {
  std::string path;
  ModelConfig config;
  /// Every parameter of the table. Shared with models that are this one changed.
  std::shared_ptr<const WeightSource> weights;
  /// Null for a model that is nothing but weights.
  std::shared_ptr<const Companions> companions;
  /// What opening it found odd but not wrong, a line each, for people: tensors that no part of the
  /// model uses.
  std::vector<std::string> warnings = {};
  /// Where `weights` are those of a quantized model without their codes (plain_model.h): them with.
  std::shared_ptr<const WeightSource> as_stored = nullptr;

  const DecoderConfig& decoder_config() const;  ///< Error{unsupported} for an MLP
  const MlpConfig& mlp_config() const;          ///< Error{unsupported} for a decoder
  /// As Companions::tokenizer(). Error{not_found} where the model comes with none, Error{corrupt}
  /// naming a token that it has no row for.
  const Tokenizer& require_tokenizer() const;
  /// Companions::settings(), nothing where there are none.
  std::optional<Companions::Text> settings(std::string_view file) const;
};

/// Opens a folder, a .safetensors file beside its config.json, a .gguf or a .bin of llama2.c.
/// Errors name the file and the key or tensor; everything the config promises is checked to be
/// there before anything is computed.
Model open_model(const std::string& path);

/// The same for weights in memory.
Model in_memory(const ModelConfig& config, const TensorMap& weights,
                const CharTokenizer& tokenizer);

/// One parameter, as WeightSource::get(); errors name the model's path.
Weight load_weight(const Model& model, const ParamSpec& spec);
bool is_quantized(const Model& model);
/// How modules are stored that are quantized.
SchemeMap schemes_of(const Model& model);
/// xxh3 over every parameter's name, type, shape and bytes, in name order: the same for the same
/// weights in any file. Of models that are not quantized.
std::string content_hash(const Model& model);
/// Error{corrupt} naming the first plain parameter that holds NaN or infinity, with the model's
/// path; nothing where all are finite. Reads every one of them.
void refuse_nonfinite_weights(const Model& model);
/// Where its logits are not finite, the decoder names a weight that is to blame, if there is one
/// and the model is still in memory or in its folder.
Decoder load_decoder(const Model& model, const LinearOptions& options = {});
Mlp load_mlp(const Model& model, const LinearOptions& options = {});

/// The scheme most weights of the model are stored in, for tables: "int8", "f32", "mixed".
std::string scheme_summary(const Model& model);

/// A parameter about to be written: its bytes are made when its turn comes.
struct WritableParameter {
  ParamSpec spec;
  std::optional<QuantScheme> scheme;  ///< set where make() gives a QuantizedTensor of this scheme
  DType dtype = DType::f32;           ///< of the plain tensor, or of the scales
  std::function<Weight()> make;
};

/// Writes config.json, the tensors and tokenizer.json into `folder` (an AtomicFolder's path). One
/// parameter is in memory at a time. Returns the bytes of the tensor files.
int64_t write_model(const std::string& folder, const ModelConfig& config,
                    const std::vector<WritableParameter>& parameters,
                    const CharTokenizer* tokenizer);
/// The same for a copy of `original`, whose config.json, tokenizer and licence are carried over;
/// which of those were not is added to `warnings`. `layout` must hold the parameters
/// (require_folder()); null: the first of format/list.inc that can say all of them.
int64_t write_model_like(const Model& original, const std::string& folder,
                         const std::vector<WritableParameter>& parameters,
                         std::vector<std::string>& warnings, const WeightLayout* layout = nullptr);
/// Error{unsupported} naming the first parameter that a layout cannot hold.
void require_folder(const std::vector<WritableParameter>& parameters, const WeightLayout& layout);
/// The config.json of such a copy whose weights lie in files of another format.
std::string config_without_quantization(const Model& original);

/// As the first, for weights that are already in memory, all plain.
int64_t write_model(const std::string& folder, const ModelConfig& config, const TensorMap& weights,
                    const CharTokenizer* tokenizer);

}  // namespace nibble
