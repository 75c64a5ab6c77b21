#include "nibble/model/model_folder.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <set>

#include "nibble/core/float_formats.h"
#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
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

const DecoderConfig& ModelFolder::decoder_config() const {
  if (const auto* c = std::get_if<DecoderConfig>(&config)) return *c;
  throw unsupported("this is an MLP; a language model is needed here").in_file(path);
}

const MlpConfig& ModelFolder::mlp_config() const {
  if (const auto* c = std::get_if<MlpConfig>(&config)) return *c;
  throw unsupported("this is a language model; an MLP is needed here").in_file(path);
}

std::string ModelFolder::folder() const {
  struct stat info;
  const bool file = stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
  return file ? split_path(path).folder : path;
}

const Tokenizer& ModelFolder::require_tokenizer() const {
  if (tokenizer != nullptr) return *tokenizer;
  std::shared_ptr<const Tokenizer> loaded = load_tokenizer(folder());
  const auto* decoder = std::get_if<DecoderConfig>(&config);
  if (decoder != nullptr && loaded->vocab_size() > decoder->vocab_size) {
    const auto id = static_cast<int32_t>(decoder->vocab_size);
    throw corrupt(fmt::format("the tokenizer's token {} has the id {}, but the model's vocabulary "
                              "(the embedding's rows) has {}",
                              in_quotes(loaded->token_text(id)), id, decoder->vocab_size))
        .in_file(folder());
  }
  tokenizer = std::move(loaded);
  return *tokenizer;
}

ModelFolder in_memory(const ModelConfig& config, TensorMap weights,
                      const CharTokenizer& tokenizer) {
  return {{},
          config,
          std::make_unique<MemorySource>(std::move(weights)),
          {},
          std::make_shared<CharTokenizer>(tokenizer)};
}

Weight load_weight(const ModelFolder& model, const ParamSpec& spec) {
  return naming_file(model.path, [&]() -> Weight {
    const auto scheme = model.schemes.find(module_of(spec.name));
    if (scheme != model.schemes.end())
      return from_tensors(*model.tensors, spec.name, scheme->second);
    return model.tensors->get(spec.name);
  });
}

void release_weight(const ModelFolder& model, const ParamSpec& spec) {
  const auto scheme = model.schemes.find(module_of(spec.name));
  if (scheme == model.schemes.end()) return model.tensors->release(spec.name);
  for (const std::string& name : stored_names(*model.tensors, spec.name, scheme->second)) {
    if (model.tensors->contains(name)) model.tensors->release(name);
  }
}

void refuse_nonfinite_weights(const ModelFolder& model) {
  for (const ParamSpec& p : parameter_table(model.config)) {
    if (!model.tensors->contains(p.name)) continue;
    naming_file(model.path, [&] { refuse_nonfinite(model.tensors->get(p.name), p.name); });
    model.tensors->release(p.name);
  }
}

namespace {

// Names the weight to blame; the decoder may outlive the model that it was made of.
std::function<void(Error)> blame_weights(const ModelFolder& model) {
  return [path = model.path, config = model.config,
          source = std::weak_ptr<TensorSource>(model.tensors)](Error error) {
    try {
      if (auto tensors = source.lock())
        refuse_nonfinite_weights({path, config, std::move(tensors), {}, nullptr});
      else
        refuse_nonfinite_weights(open_model(path));
    } catch (const Error& weight) {
      if (weight.kind() == ErrorKind::corrupt) throw;  // else it is no longer there
    }
    throw std::move(error).in_file(path);
  };
}

}  // namespace

Decoder load_decoder(const ModelFolder& model, const LinearOptions& options) {
  return naming_file(model.path, [&] {
    Decoder out(
        model.decoder_config(), [&](const ParamSpec& p) { return load_weight(model, p); }, options,
        [&](const ParamSpec& p) { release_weight(model, p); });
    out.on_bad_values(blame_weights(model));
    return out;
  });
}

Mlp load_mlp(const ModelFolder& model, const LinearOptions& options) {
  return naming_file(model.path, [&] {
    return Mlp(
        model.mlp_config(), [&](const ParamSpec& p) { return load_weight(model, p); }, options);
  });
}

std::string scheme_summary(const ModelFolder& model) {
  std::set<std::string> names;
  for (const auto& [module, scheme] : model.schemes) names.insert(to_string(scheme));
  if (names.empty()) {
    std::set<std::string_view> matrices;
    const std::vector<ParamSpec> table = parameter_table(model.config);
    for (const ParamSpec& p : table) {
      if (p.is_matrix()) matrices.insert(p.name);
    }
    for (const TensorInfo& i : model.tensors->list()) {
      if (matrices.contains(i.name)) names.insert(std::string(to_string(i.dtype)));
    }
  }
  return names.size() == 1 ? *names.begin() : "mixed";
}

}  // namespace nibble
