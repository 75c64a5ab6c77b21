// Writing a model folder.
#include <fmt/format.h>

#include "nibble/core/files.h"
#include "nibble/format/safetensors.h"
#include "nibble/model/architecture.h"
#include "nibble/model/arranged_source.h"
#include "nibble/model/model_folder.h"

namespace nibble {
namespace {

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
