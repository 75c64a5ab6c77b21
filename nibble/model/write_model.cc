// Writing a model folder.
#include <fmt/format.h>

#include "nibble/core/atomic_file.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/in_file.h"
#include "nibble/format/safetensors.h"
#include "nibble/model/architecture.h"
#include "nibble/model/carry_over.h"
#include "nibble/model/model.h"
#include "nibble/model/stored_weights.h"
#include "nibble/model/text_part.h"
#include "nibble/model/written_tensors.h"

namespace nibble {
namespace {

constexpr std::string_view kTied = "tie_word_embeddings";

// Which modules were written how.
struct Modules {
  SchemeMap schemes;
  std::vector<std::string> plain;
  const WeightLayout* layout;  // null: each by what holds its scheme
};

Modules modules_of(const std::vector<WritableParameter>& parameters, const WeightLayout* layout) {
  Modules out{{}, {}, layout};
  for (const WritableParameter& p : parameters) {
    if (p.scheme)
      out.schemes[module_of(p.spec.name)] = *p.scheme;
    else if (p.spec.is_matrix())
      out.plain.push_back(module_of(p.spec.name));
  }
  if (layout == nullptr) out.layout = layout_that_says(out.schemes);
  return out;
}

void write_quantization(const Modules& modules, JsonWriter& out) {
  if (modules.schemes.empty()) return;
  out.key("quantization_config");
  write_quantization_config(modules.schemes, modules.plain, modules.layout, out);
  if (modules.layout == nullptr || modules.layout->other_key.empty()) return;
  out.key(modules.layout->other_key);
  write_quantization_config(modules.schemes, modules.plain, modules.layout, out);
}

std::string config_text(const ModelConfig& config, const Modules& modules) {
  JsonWriter out;
  out.begin_object().field("model_type", model_type(config)).field("dtype", "float32");
  if (const auto* mlp = std::get_if<MlpConfig>(&config))
    write_mlp_config(*mlp, out);
  else
    architecture(model_type(config)).write_config(std::get<DecoderConfig>(config), out);
  write_quantization(modules, out);
  return out.end_object().finish();
}

void write_text(const std::string& path, std::string_view text) {
  AtomicFile file(path, static_cast<int64_t>(text.size()));
  file.write(text);
  file.commit();
}

// The file of older programs that says what config.json does.
void write_other_file(const std::string& folder, const Modules& modules) {
  if (modules.schemes.empty() || modules.layout == nullptr || modules.layout->other_file.empty())
    return;
  JsonWriter out;
  write_quantization_config(modules.schemes, modules.plain, modules.layout, out);
  write_text(folder + '/' + std::string(modules.layout->other_file), out.finish());
}

// A config that is just within the limits of reading one may be beyond them with what is added:
// said before the tensors are written, not when somebody opens the model.
std::string readable(std::string text) {
  try {
    (void)JsonFields::parse(text);
  } catch (const Error& e) {
    throw corrupt(fmt::format("with quantization_config it could not be read again: {}", e.what()));
  }
  return text;
}

// The model's own config.json; where the head has been untied since, it says so.
std::string carried_config(const Model& original, const std::string& text, const Modules& modules) {
  const auto* now = std::get_if<DecoderConfig>(&original.config);
  const bool untied = now != nullptr && !now->tied &&
                      architecture(now->architecture).read_config(JsonFields::parse(text)).tied;
  const auto add = [&](JsonWriter& out) {
    if (untied) out.field(kTied, false);
    write_quantization(modules, out);
  };
  return carry_config(text, add, untied ? kTied : "");
}

// A single file of another format says in itself what a config.json says.
std::string config_like(const Model& original, const Modules& modules) {
  if (const auto own = original.settings("config.json")) {
    return naming_file(own->name, [&] {
      return readable(carried_config(original, text_part(own->text), modules));
    });
  }
  return naming_file(original.path,
                     [&] { return readable(config_text(original.config, modules)); });
}

}  // namespace

int64_t write_model(const std::string& folder, const ModelConfig& config,
                    const std::vector<WritableParameter>& parameters,
                    const CharTokenizer* tokenizer) {
  const Modules modules = modules_of(parameters, nullptr);
  const std::string text = readable(config_text(config, modules));
  write_safetensors_folder(folder, written_tensors(parameters, modules.layout));
  write_text(folder + "/config.json", text);
  if (tokenizer != nullptr) write_text(folder + "/tokenizer.json", tokenizer->to_json());
  return open_safetensors_folder(folder)->file_bytes();
}

std::string config_without_quantization(const Model& original) { return config_like(original, {}); }

int64_t write_model_like(const Model& original, const std::string& folder,
                         const std::vector<WritableParameter>& parameters,
                         std::vector<std::string>& warnings, const WeightLayout* layout) {
  const Modules modules = modules_of(parameters, layout);
  const std::string text = config_like(original, modules);
  write_safetensors_folder(folder, written_tensors(parameters, modules.layout));
  write_text(folder + "/config.json", text);
  write_other_file(folder, modules);
  if (original.companions != nullptr) {
    for (std::string& line : original.companions->carry(folder))
      warnings.push_back(std::move(line));
  }
  return open_safetensors_folder(folder)->file_bytes();
}

void require_folder(const std::vector<WritableParameter>& parameters, const WeightLayout& layout) {
  std::vector<LaidWeight> weights;
  for (const WritableParameter& p : parameters) {
    if (p.scheme)
      weights.push_back({module_of(p.spec.name), *p.scheme, p.spec.shape, p.spec.transposed});
  }
  require_held(layout, weights);
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
