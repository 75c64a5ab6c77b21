#include "nibble/model/model.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "nibble/core/float_formats.h"
#include "nibble/core/hash.h"
#include "nibble/core/in_file.h"
#include "nibble/model/architecture.h"

namespace nibble {

std::vector<ParamSpec> parameter_table(const ModelConfig& config) {
  return std::visit([](const auto& c) { return parameter_table(c); }, config);
}

std::string_view model_type(const ModelConfig& config) {
  const auto* decoder = std::get_if<DecoderConfig>(&config);
  return decoder != nullptr ? std::string_view(decoder->architecture) : "mlp";
}

bool covers_every_matrix(const ModelConfig& config) {
  const auto* decoder = std::get_if<DecoderConfig>(&config);
  return decoder == nullptr || architecture(decoder->architecture).cover_every_matrix;
}

const DecoderConfig& Model::decoder_config() const {
  if (const auto* c = std::get_if<DecoderConfig>(&config)) return *c;
  throw unsupported("this is an MLP; a language model is needed here").in_file(path);
}

const MlpConfig& Model::mlp_config() const {
  if (const auto* c = std::get_if<MlpConfig>(&config)) return *c;
  throw unsupported("this is a language model; an MLP is needed here").in_file(path);
}

const Tokenizer& Model::require_tokenizer() const {
  if (companions == nullptr) throw not_found("this model has no tokenizer").in_file(path);
  const Tokenizer& tokenizer = *companions->tokenizer();
  const auto* decoder = std::get_if<DecoderConfig>(&config);
  if (decoder == nullptr || tokenizer.vocab_size() <= decoder->vocab_size) return tokenizer;
  const auto id = static_cast<int32_t>(decoder->vocab_size);
  throw corrupt(fmt::format("the tokenizer's token {} has the id {}, but the model's vocabulary "
                            "(the embedding's rows) has {}",
                            in_quotes(tokenizer.token_text(id)), id, decoder->vocab_size))
      .in_file(path);
}

std::optional<Companions::Text> Model::settings(std::string_view file) const {
  return companions == nullptr ? std::nullopt : companions->settings(file);
}

Model in_memory(const ModelConfig& config, const TensorMap& weights,
                const CharTokenizer& tokenizer) {
  return {{},
          config,
          weights_in_memory(weights),
          tokenizer_alone(std::make_shared<CharTokenizer>(tokenizer))};
}

Weight load_weight(const Model& model, const ParamSpec& spec) {
  return naming_file(model.path, [&] { return model.weights->get(spec.name); });
}

SchemeMap schemes_of(const Model& model) {
  SchemeMap out;
  for (const ParamSpec& p : parameter_table(model.config)) {
    if (!p.is_matrix()) continue;
    if (const auto scheme = model.weights->stored_as(p.name).scheme)
      out.emplace(module_of(p.name), *scheme);
  }
  return out;
}

bool is_quantized(const Model& model) { return !schemes_of(model).empty(); }

namespace {

// The parameters of a model that is not quantized.
class PlainParameters : public TensorSource {
 public:
  explicit PlainParameters(const Model& model) : model_(model) {
    for (const ParamSpec& p : parameter_table(model.config))
      infos_.push_back({p.name, model.weights->stored_as(p.name).dtype, p.shape});
  }
  const std::vector<TensorInfo>& list() const override { return infos_; }
  bool contains(std::string_view name) const override {
    return std::any_of(infos_.begin(), infos_.end(),
                       [&](const TensorInfo& i) { return i.name == name; });
  }
  Tensor get(std::string_view name) const override { return model_.weights->get(name).plain(); }
  void release(std::string_view name) const override { model_.weights->release(name); }

 private:
  const Model& model_;
  std::vector<TensorInfo> infos_;
};

}  // namespace

std::string content_hash(const Model& model) {
  return naming_file(model.path, [&] { return content_hash(PlainParameters(model)); });
}

void refuse_nonfinite_weights(const Model& model) {
  for (const ParamSpec& p : parameter_table(model.config)) {
    if (model.weights->stored_as(p.name).scheme) continue;
    naming_file(model.path,
                [&] { refuse_nonfinite(model.weights->get(p.name).base().plain(), p.name); });
    model.weights->release(p.name);
  }
}

namespace {

// Names the weight to blame; the decoder may outlive the model that it was made of.
std::function<void(Error)> blame_weights(const Model& model) {
  return [path = model.path, config = model.config,
          source = std::weak_ptr<const WeightSource>(model.weights)](Error error) {
    try {
      if (auto weights = source.lock())
        refuse_nonfinite_weights({path, config, std::move(weights), nullptr});
      else
        refuse_nonfinite_weights(open_model(path));
    } catch (const Error& weight) {
      if (weight.kind() == ErrorKind::corrupt) throw;  // else it is no longer there
    }
    throw std::move(error).in_file(path);
  };
}

}  // namespace

Decoder load_decoder(const Model& model, const LinearOptions& options) {
  return naming_file(model.path, [&] {
    Decoder out(
        model.decoder_config(), [&](const ParamSpec& p) { return load_weight(model, p); }, options,
        [&](const ParamSpec& p) { model.weights->release(p.name); });
    out.on_bad_values(blame_weights(model));
    return out;
  });
}

Mlp load_mlp(const Model& model, const LinearOptions& options) {
  return naming_file(model.path, [&] {
    return Mlp(
        model.mlp_config(), [&](const ParamSpec& p) { return load_weight(model, p); }, options);
  });
}

std::string scheme_summary(const Model& model) {
  std::set<std::string> quantized, plain;
  for (const ParamSpec& p : parameter_table(model.config)) {
    if (!p.is_matrix()) continue;
    const StoredAs stored = model.weights->stored_as(p.name);
    if (stored.scheme)
      quantized.insert(to_string(*stored.scheme));
    else
      plain.insert(std::string(to_string(stored.dtype)));
  }
  const std::set<std::string>& names = quantized.empty() ? plain : quantized;
  return names.size() == 1 ? *names.begin() : "mixed";
}

}  // namespace nibble
