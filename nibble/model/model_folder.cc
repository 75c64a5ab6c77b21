#include "nibble/model/model_folder.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <unordered_map>

#include "nibble/core/files.h"
#include "nibble/core/posix.h"
#include "nibble/format/safetensors.h"
#include "nibble/model/architecture.h"
#include "nibble/model/arranged_source.h"

namespace nibble {
namespace {

constexpr int64_t kConfigLimit = 1 << 20, kTokenizerLimit = 1 << 28;

// Runs f and says in which file its errors lie.
template <class F>
auto in_file(const std::string& path, F f) {
  try {
    return f();
  } catch (Error& e) {
    e.set_file(path);
    throw;
  }
}

bool exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

bool is_folder(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

ModelConfig read_config(const JsonFields& fields) {
  const std::string type = fields.string("model_type");
  if (type == "mlp") return read_mlp_config(fields);
  DecoderConfig config = architecture(type).read_config(fields);
  validate(config);
  return config;
}

std::vector<std::string> matrix_modules(const ModelConfig& config) {
  std::vector<std::string> out;
  for (const ParamSpec& p : parameter_table(config)) {
    if (p.is_matrix()) out.push_back(module_of(p.name));
  }
  return out;
}

Error at_tensor(Error error, std::string_view name) {
  return std::move(error).at("tensor " + in_quotes(name));
}

// Files that were saved without the head lack the beginning of every name.
void find_prefix(ModelConfig& config, const TensorSource& tensors) {
  auto* decoder = std::get_if<DecoderConfig>(&config);
  if (decoder == nullptr) return;
  const std::string_view prefix = architecture(decoder->architecture).prefix;
  const auto& list = tensors.list();
  const bool used = std::any_of(list.begin(), list.end(), [&](const TensorInfo& i) {
    return std::string_view(i.name).starts_with(prefix);
  });
  decoder->name_prefix = used ? prefix : "";
}

Shape stored_shape(const ParamSpec& p) {
  return p.transposed ? Shape{p.shape[1], p.shape[0]} : p.shape;
}

// Every parameter the config promises must be there in the shape it promises, before anything is
// computed.
void check_parameters(const ModelConfig& config, const SchemeMap& schemes,
                      const TensorSource& tensors) {
  std::unordered_map<std::string_view, const TensorInfo*> infos;
  for (const TensorInfo& i : tensors.list()) infos.emplace(i.name, &i);
  for (const ParamSpec& p : parameter_table(config)) {
    if (schemes.contains(module_of(p.name))) continue;
    const auto found = infos.find(p.name);
    if (found == infos.end()) {
      throw at_tensor(corrupt("the config asks for this tensor, the file does not have it"),
                      p.name);
    }
    if (found->second->shape == stored_shape(p)) continue;
    throw at_tensor(
        corrupt(fmt::format("expected shape {} by config.json, found {}",
                            stored_shape(p).to_string(), found->second->shape.to_string())),
        p.name);
  }
}

// A head of its own beside a config that says it has none: which one is meant cannot be known.
void check_tied_head(const ModelConfig& config, const TensorSource& tensors) {
  constexpr std::string_view kHead = "lm_head.weight";
  const auto* decoder = std::get_if<DecoderConfig>(&config);
  if (decoder == nullptr || !decoder->tied || !tensors.contains(kHead)) return;
  const std::string embedding = parameter_table(*decoder).front().name;
  if (!tensors.contains(embedding)) return;
  const Tensor a = tensors.get(kHead), b = tensors.get(embedding);
  const bool same = a.dtype() == b.dtype() && a.shape() == b.shape() &&
                    std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
  tensors.release(kHead);
  tensors.release(embedding);
  if (same) return;
  throw at_tensor(
      corrupt(fmt::format("differs from {}, but config.json says that they are one: set "
                          "tie_word_embeddings to false or remove it",
                          in_quotes(embedding))),
      kHead);
}

// Parameters that plain files hold with rows and columns exchanged.
std::set<std::string, std::less<>> transposed_tensors(const ModelConfig& config,
                                                      const SchemeMap& schemes) {
  std::set<std::string, std::less<>> out;
  for (const ParamSpec& p : parameter_table(config)) {
    if (p.transposed && !schemes.contains(module_of(p.name))) out.insert(p.name);
  }
  return out;
}

std::string config_text(const ModelConfig& config, const SchemeMap& schemes,
                        const std::vector<std::string>& plain) {
  JsonWriter out;
  out.begin_object().field("model_type", model_type(config)).field("dtype", "float32");
  if (const auto* mlp = std::get_if<MlpConfig>(&config))
    write_mlp_config(*mlp, out);
  else
    architecture(model_type(config)).write_config(std::get<DecoderConfig>(config), out);
  if (!schemes.empty()) {
    out.key("quantization_config");
    write_quantization_config(schemes, plain, out);
  }
  return out.end_object().finish();
}

void write_text(const std::string& path, std::string_view text) {
  AtomicFile file(path, static_cast<int64_t>(text.size()));
  file.write(text);
  file.commit();
}

// The tensors one parameter becomes. The first of them to be written makes them all; each is let go
// as it is written.
std::vector<LazyTensor> lazy_tensors(const WritableParameter& p) {
  if (!p.scheme) {
    return {{{p.spec.name, p.dtype, stored_shape(p.spec)},
             [make = p.make, transposed = p.spec.transposed] {
               Tensor tensor = std::get<Tensor>(make());
               return transposed ? transpose(tensor) : tensor;
             }}};
  }
  const auto made = std::make_shared<std::map<std::string, Tensor, std::less<>>>();
  std::vector<LazyTensor> out;
  for (TensorInfo& info : tensor_layout(p.spec.name, *p.scheme, p.spec.shape, p.dtype)) {
    out.push_back({info, [made, make = p.make, spec = p.spec, name = info.name] {
                     if (made->empty()) {
                       for (NamedTensor& t :
                            to_tensors(spec.name, std::get<QuantizedTensor>(make()))) {
                         made->emplace(t.name, std::move(t.tensor));
                       }
                     }
                     const auto found = made->find(name);
                     NIBBLE_CHECK(found != made->end());
                     Tensor tensor = std::move(found->second);
                     made->erase(found);
                     return tensor;
                   }});
  }
  return out;
}

}  // namespace

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

const CharTokenizer& ModelFolder::require_tokenizer() const {
  if (tokenizer) return *tokenizer;
  throw not_found("tokenizer.json is missing, so text cannot be turned into tokens").in_file(path);
}

namespace {

// Whether `path` ends in `suffix`, as the names of files say what they are.
bool is_named(const std::string& path, std::string_view suffix) { return path.ends_with(suffix); }

// config.json beside tensors that are open already.
ModelFolder open_folder(const std::string& folder, std::unique_ptr<TensorSource> tensors) {
  const std::string config = folder + "/config.json", tokenizer = folder + "/tokenizer.json";
  ModelFolder m;
  m.path = folder;
  in_file(config, [&] {
    const JsonFields fields = JsonFields::parse(read_file(config, kConfigLimit));
    m.config = read_config(fields);
    if (tensors == nullptr) tensors = open_safetensors_folder(folder);
    find_prefix(m.config, *tensors);
    m.schemes = read_quantization_config(fields, matrix_modules(m.config));
  });
  in_file(folder, [&] {
    check_parameters(m.config, m.schemes, *tensors);
    check_tied_head(m.config, *tensors);
  });
  m.tensors = arrange(std::move(tensors), transposed_tensors(m.config, m.schemes));
  // Only models of nibble's own have a tokenizer of characters.
  if (covers_every_matrix(m.config) && exists(tokenizer)) {
    in_file(tokenizer,
            [&] { m.tokenizer = CharTokenizer::from_json(read_file(tokenizer, kTokenizerLimit)); });
  }
  return m;
}

ModelFolder open_file(const std::string& path) {
  if (is_named(path, ".safetensors"))
    return open_folder(split_path(path).folder, open_safetensors(path));
  throw unsupported(
      "expected a model folder (config.json beside *.safetensors) or a .safetensors file in one")
      .in_file(path);
}

}  // namespace

ModelFolder open_model(const std::string& path) {
  if (!exists(path)) throw not_found("no such file or folder").in_file(path);
  return is_folder(path) ? open_folder(path, nullptr) : open_file(path);
}

ModelFolder in_memory(const ModelConfig& config, TensorMap weights,
                      const CharTokenizer& tokenizer) {
  return {{}, config, std::make_unique<MemorySource>(std::move(weights)), {}, tokenizer};
}

Weight load_weight(const ModelFolder& model, const ParamSpec& spec) {
  return in_file(model.path, [&]() -> Weight {
    const auto scheme = model.schemes.find(module_of(spec.name));
    if (scheme != model.schemes.end())
      return from_tensors(*model.tensors, spec.name, scheme->second);
    return model.tensors->get(spec.name);
  });
}

void release_weight(const ModelFolder& model, const ParamSpec& spec) {
  const auto scheme = model.schemes.find(module_of(spec.name));
  if (scheme == model.schemes.end()) return model.tensors->release(spec.name);
  for (const TensorInfo& t : tensor_layout(spec.name, scheme->second, spec.shape, DType::f16)) {
    if (model.tensors->contains(t.name)) model.tensors->release(t.name);
  }
}

Decoder load_decoder(const ModelFolder& model, const LinearOptions& options) {
  return in_file(model.path, [&] {
    return Decoder(
        model.decoder_config(), [&](const ParamSpec& p) { return load_weight(model, p); }, options,
        [&](const ParamSpec& p) { release_weight(model, p); });
  });
}

Mlp load_mlp(const ModelFolder& model, const LinearOptions& options) {
  return in_file(model.path, [&] {
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

int64_t write_model(const std::string& folder, const ModelConfig& config,
                    const std::vector<WritableParameter>& parameters,
                    const CharTokenizer* tokenizer) {
  SchemeMap schemes;
  std::vector<std::string> plain;
  std::vector<LazyTensor> tensors;
  for (const WritableParameter& p : parameters) {
    if (p.scheme)
      schemes[module_of(p.spec.name)] = *p.scheme;
    else if (p.spec.is_matrix())
      plain.push_back(module_of(p.spec.name));
    for (LazyTensor& t : lazy_tensors(p)) tensors.push_back(std::move(t));
  }
  write_safetensors_folder(folder, tensors);
  write_text(folder + "/config.json", config_text(config, schemes, plain));
  if (tokenizer != nullptr) write_text(folder + "/tokenizer.json", tokenizer->to_json());
  return open_safetensors_folder(folder)->file_bytes();
}

int64_t write_model(const std::string& folder, const ModelConfig& config, const TensorMap& weights,
                    const CharTokenizer* tokenizer) {
  std::vector<WritableParameter> parameters;
  for (ParamSpec& spec : parameter_table(config)) {
    const auto found = weights.find(spec.name);
    NIBBLE_CHECK(found != weights.end());
    const Tensor& tensor = found->second;
    parameters.push_back(
        {spec, std::nullopt, tensor.dtype(), [tensor]() -> Weight { return tensor; }});
  }
  return write_model(folder, config, parameters, tokenizer);
}

}  // namespace nibble
