#include "nibble/model/model_folder.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "nibble/core/files.h"
#include "nibble/model/architecture.h"

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

bool is_regular(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
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

// Every parameter the config promises must be there in the shape it promises, before anything is
// computed.
void check_parameters(const ModelFolder& m) {
  for (const ParamSpec& p : parameter_table(m.config)) {
    if (m.schemes.contains(module_of(p.name))) continue;
    const auto& list = m.tensors->list();
    const auto found = std::find_if(list.begin(), list.end(),
                                    [&](const TensorInfo& i) { return i.name == p.name; });
    if (found == list.end()) {
      throw corrupt("the config asks for this tensor, the file does not have it")
          .at("tensor " + in_quotes(p.name));
    }
    if (found->shape != p.shape) {
      throw corrupt(fmt::format("expected shape {} by config.json, found {}", p.shape.to_string(),
                                found->shape.to_string()))
          .at("tensor " + in_quotes(p.name));
    }
  }
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
    return {{{p.spec.name, p.dtype, p.spec.shape},
             [make = p.make] { return std::get<Tensor>(make()); }}};
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

ModelFolder open_model(const std::string& path) {
  if (exists(path) && !is_folder(path) && !is_regular(path)) {
    throw not_found("is neither a folder nor a regular file; expected a model folder")
        .in_file(path);
  }
  if (exists(path) && !is_folder(path)) {
    throw unsupported(
        "expected a model folder (config.json beside *.safetensors); single files cannot be opened "
        "by this version")
        .in_file(path);
  }
  const std::string config = path + "/config.json", tokenizer = path + "/tokenizer.json";
  if (!exists(path)) throw not_found("no such file or folder").in_file(path);
  ModelFolder m;
  m.path = path;
  in_file(config, [&] {
    const JsonFields fields = JsonFields::parse(read_file(config, kConfigLimit));
    m.config = read_config(fields);
    m.schemes = read_quantization_config(fields, matrix_modules(m.config));
  });
  m.tensors = open_safetensors_folder(path);
  in_file(path, [&] { check_parameters(m); });
  if (exists(tokenizer)) {
    in_file(tokenizer,
            [&] { m.tokenizer = CharTokenizer::from_json(read_file(tokenizer, kTokenizerLimit)); });
  }
  return m;
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

Decoder load_decoder(const ModelFolder& model, const LinearOptions& options) {
  return in_file(model.path, [&] {
    return Decoder(
        model.decoder_config(), [&](const ParamSpec& p) { return load_weight(model, p); }, options);
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
  for (const ParamSpec& p : parameter_table(model.config)) {
    if (p.is_matrix() && names.empty())
      names.insert(std::string(to_string(model.tensors->get(p.name).dtype())));
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
