// A folder as Hugging Face lays it out, or a .safetensors file in one: what its config says,
// checked against the tensors that are there.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <unordered_map>

#include "nibble/core/counted.h"
#include "nibble/core/files.h"
#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/format/safetensors.h"
#include "nibble/model/adapter.h"
#include "nibble/model/architecture.h"
#include "nibble/model/config_file.h"
#include "nibble/model/file_format.h"
#include "nibble/model/model.h"
#include "nibble/model/renamed_tensors.h"
#include "nibble/model/stored_weights.h"

namespace nibble::hugging_face {
namespace {

// The classes by which other tools call them: GPT-2's Conv1D is no Linear.
std::vector<MatrixModule> matrix_modules(const ModelConfig& config) {
  std::vector<MatrixModule> out;
  for (const ParamSpec& p : parameter_table(config)) {
    if (!p.is_matrix()) continue;
    const bool embedding = p.role == Role::token_embedding || p.role == Role::position_embedding;
    out.push_back({module_of(p.name), embedding      ? "Embedding"
                                      : p.transposed ? "Conv1D"
                                                     : "Linear"});
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

std::string missing_tensor(const ParamSpec& p, const TensorSource& tensors) {
  std::string out = "the config asks for this tensor, the file does not have it";
  if (const std::string packed = module_of(p.name) + ".qweight"; tensors.contains(packed))
    out += " but " + in_quotes(packed) +
           ", as GPTQ and AWQ store it, and config.json has no quantization_config that says so";
  else if (p.role == Role::lm_head)
    out += " (where the head is the embedding, config.json says so: \"tie_word_embeddings\": true)";
  return out;
}

// fp8 as compressed-tensors, DeepSeek and ComfyUI store it is nothing without its scale.
std::string scale_beside(const TensorInfo& info, const TensorSource& tensors) {
  if (info.dtype != DType::f8_e4m3 && info.dtype != DType::f8_e5m2) return "";
  for (const std::string& name :
       {info.name + "_scale", info.name + "_scale_inv", module_of(info.name) + ".scale_weight"}) {
    if (tensors.contains(name)) return " with the scale " + in_quotes(name);
  }
  return "";
}

void require_floats(const TensorInfo& info, const TensorSource& tensors) {
  const std::string scale = scale_beside(info, tensors);
  if (can_be_multiplied(info.dtype) || (is_other_float(info.dtype) && scale.empty())) return;
  throw at_tensor(corrupt(fmt::format("expected numbers of a float type, found {}{}, and "
                                      "config.json does not say how they are quantized",
                                      to_string(info.dtype), scale)),
                  info.name);
}

// Every parameter the config promises must be there in the shape it promises, before anything is
// computed.
void check_parameters(const ModelConfig& config, const StoredModules& modules,
                      const TensorSource& tensors) {
  std::unordered_map<std::string_view, const TensorInfo*> infos;
  for (const TensorInfo& i : tensors.list()) infos.emplace(i.name, &i);
  for (const ParamSpec& p : parameter_table(config)) {
    if (const auto scheme = modules.schemes.find(module_of(p.name));
        scheme != modules.schemes.end()) {
      require_stored(tensors, p.name, scheme->second, modules.layout);
      continue;
    }
    const auto found = infos.find(p.name);
    if (found == infos.end()) {
      refuse_adapter(tensors);
      throw at_tensor(corrupt(missing_tensor(p, tensors)), p.name);
    }
    require_floats(*found->second, tensors);
    if (found->second->shape == stored_shape(p)) continue;
    throw at_tensor(
        corrupt(fmt::format("expected shape {} by config.json, found {}",
                            stored_shape(p).to_string(), found->second->shape.to_string())),
        p.name);
  }
}

// Tensors that files of these architectures carry along though everything in them follows from the
// config: masks, tables of the rotation, a tied head.
bool known_to_be_spare(std::string_view name, const ModelConfig& config) {
  for (const std::string_view end :
       {".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq", "position_ids"}) {
    if (name.ends_with(end)) return true;
  }
  const auto* decoder = std::get_if<DecoderConfig>(&config);
  return decoder != nullptr && decoder->tied && name == "lm_head.weight";
}

std::set<std::string, std::less<>> used_tensors(const ModelConfig& config,
                                                const StoredModules& modules,
                                                const TensorSource& tensors) {
  std::set<std::string, std::less<>> out;
  for (const ParamSpec& p : parameter_table(config)) {
    const auto scheme = modules.schemes.find(module_of(p.name));
    if (scheme == modules.schemes.end()) {
      out.insert(p.name);
      continue;
    }
    for (std::string& name : stored_names(tensors, p.name, scheme->second, modules.layout))
      out.insert(std::move(name));
  }
  return out;
}

// "N tensors ... such as A, B, C" for those that no parameter asks for; nothing where there are
// none.
std::vector<std::string> unused_tensors(const ModelConfig& config, const StoredModules& modules,
                                        const TensorSource& tensors) {
  constexpr size_t kNamed = 3;
  const std::set<std::string, std::less<>> used = used_tensors(config, modules, tensors);
  size_t count = 0;
  std::string names;
  for (const TensorInfo& t : tensors.list()) {
    if (used.contains(t.name) || known_to_be_spare(t.name, config)) continue;
    if (count++ < kNamed) names += (names.empty() ? "" : ", ") + in_quotes(t.name);
  }
  if (count == 0) return {};
  return {fmt::format("{} in the file {} used by this architecture: {}{}",
                      counted(static_cast<int64_t>(count), "tensor"),
                      count == 1 ? "is not" : "are not", names, count > kNamed ? ", ..." : "")};
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

// config.json beside tensors that are open already.
Model open_folder(const std::string& folder, std::unique_ptr<TensorSource> tensors) {
  const std::string config = folder + "/config.json";
  Model m;
  StoredModules modules;
  m.path = folder;
  m.companions = of_folder(folder);
  if (const std::string adapter = adapter_beside(folder); !adapter.empty())
    m.warnings.push_back(adapter +
                         " beside the model is a LoRA adapter: it is not applied (`adapter` does)");
  naming_file(config, [&] {
    const JsonFields fields = config_fields(config);
    m.config = read_config(fields, m.warnings);
    if (tensors == nullptr) tensors = open_safetensors_folder(folder, &m.warnings);
    tensors = renamed_tensors(std::move(tensors));
    find_prefix(m.config, *tensors);
    modules = read_quantization_config(fields, matrix_modules(m.config), *tensors);
    for (std::string& w : modules.warnings) m.warnings.push_back(std::move(w));
  });
  naming_file(folder, [&] {
    check_parameters(m.config, modules, *tensors);
    check_tied_head(m.config, *tensors);
    for (std::string& w : unused_tensors(m.config, modules, *tensors))
      m.warnings.push_back(std::move(w));
  });
  m.weights = stored_weights(std::move(tensors), std::move(modules), parameter_table(m.config));
  return m;
}

}  // namespace

bool is_model(const std::string& path) { return is_folder(path) || path.ends_with(".safetensors"); }

Model open(const std::string& path) {
  if (is_folder(path)) return open_folder(path, nullptr);
  return open_folder(split_path(path).folder, open_safetensors(path));
}

}  // namespace nibble::hugging_face
