#include "nibble/format/quantized_layout.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/format/bitsandbytes.h"
#include "nibble/format/compressed_tensors.h"
#include "nibble/format/known_keys.h"

namespace nibble {
namespace {

constexpr std::string_view kWeightEnd = ".weight";
constexpr char kTop[] = "quantization_config", kGroups[] = "quantization_config.config_groups",
               kMethod[] = "quantization_config.quant_method", kOldTop[] = "compression_config";

bool is_bitsandbytes(const QuantScheme& s) {
  return s.type == NumberType::nf4 || s.type == NumberType::fp4;
}

// Schemes that no one layout can say together: by name, for nibble alone.
void write_own_config(const SchemeMap& schemes, const std::vector<std::string>& plain,
                      JsonWriter& out) {
  std::map<std::string, std::vector<std::string>> groups;
  for (const auto& [module, scheme] : schemes) groups[to_string(scheme)].push_back(module);
  out.begin_object().field("quant_method", "nibble").key("config_groups").begin_object();
  int index = 0;
  for (const auto& [spelling, modules] : groups) {
    out.key(fmt::format("group_{}", index++)).begin_object();
    out.field("scheme", spelling).array("targets", modules).end_object();
  }
  out.end_object().array("ignore", plain).end_object();
}

constexpr KnownKey kOwnKeys[] = {{"quant_method"}, {"config_groups"}, {"ignore"}};
constexpr KnownKey kOwnGroupKeys[] = {{"scheme"}, {"targets"}};

QuantScheme read_own_scheme(const JsonFields& f, const std::string& key) {
  const std::string text = f.string(key);
  try {
    const QuantScheme scheme = parse_scheme(text);
    if (scheme.is_float()) throw corrupt("a plain float type is not a quantized one");
    return scheme;
  } catch (const Error& e) {
    throw corrupt(e.reason()).at("key " + in_quotes(key));
  }
}

SchemeMap read_own_config(const JsonFields& f, std::span<const MatrixModule> modules) {
  require_known_keys(f, kTop, kOwnKeys);
  ModuleTargets targets(modules);
  std::vector<QuantScheme> schemes;
  for (const std::string& name : f.keys(kGroups)) {
    const std::string group = fmt::format("{}.{}", kGroups, name);
    require_known_keys(f, group, kOwnGroupKeys);
    schemes.push_back(read_own_scheme(f, group + ".scheme"));
    for (const std::string& target : f.strings(group + ".targets"))
      targets.add_target(target, schemes.size() - 1, group + ".targets");
  }
  SchemeMap out;
  for (const MatrixModule& m : modules) {
    if (const auto found = targets.find(m)) out.emplace(m.name, schemes[*found]);
  }
  return out;
}

}  // namespace

std::string module_of(std::string_view name) {
  if (name.ends_with(kWeightEnd)) name.remove_suffix(kWeightEnd.size());
  return std::string(name);
}

void require_expressible(const QuantScheme& s) {
  // Nibble alone knows of a threshold; the tensors are those of int8:a8 with one more.
  const bool own = s.is_integer() && s.activations == ActivationType::a8_outlier;
  if (own || s.is_float() || compressed_tensors::can_hold(s) || bitsandbytes::can_hold(s)) return;
  throw unsupported(fmt::format(
      "{} cannot be stored in a Hugging Face folder; these can: int2 to int8 with "
      ":tensor, :channel or :gN, :asym and :a8, :a8full, :a8static or :a8outlier; fp8_e4m3, "
      "also :tensor and :afp8; mxfp4; nvfp4; "
      "nf4 and fp4 with groups of 32, 64, 128, ... 4096",
      to_string(s)));
}

std::vector<NamedTensor> to_tensors(std::string_view tensor_name, const QuantizedTensor& q) {
  const std::string module = module_of(tensor_name);
  return is_bitsandbytes(q.scheme) ? bitsandbytes::to_tensors(module, q)
                                   : compressed_tensors::to_tensors(module, q);
}

std::vector<TensorInfo> tensor_layout(std::string_view tensor_name, const QuantScheme& scheme,
                                      const Shape& shape, DType scale_dtype) {
  const std::string module = module_of(tensor_name);
  return is_bitsandbytes(scheme) ? bitsandbytes::layout(module, scheme, shape, scale_dtype)
                                 : compressed_tensors::layout(module, scheme, shape, scale_dtype);
}

QuantizedTensor from_tensors(const TensorSource& source, std::string_view tensor_name,
                             const QuantScheme& scheme) {
  const std::string module = module_of(tensor_name);
  return is_bitsandbytes(scheme) ? bitsandbytes::from_tensors(source, module, scheme)
                                 : compressed_tensors::from_tensors(source, module, scheme);
}

std::vector<std::string> stored_names(const TensorSource& source, std::string_view tensor_name,
                                      const QuantScheme& scheme) {
  const std::string module = module_of(tensor_name);
  return is_bitsandbytes(scheme) ? bitsandbytes::stored_names(source, module, scheme)
                                 : compressed_tensors::stored_names(source, module, scheme);
}

void require_stored(const TensorSource& source, std::string_view tensor_name,
                    const QuantScheme& scheme) {
  for (const std::string& name : stored_names(source, tensor_name, scheme)) {
    if (source.contains(name)) continue;
    throw corrupt(fmt::format("quantization_config has {} stored as {}, which asks for this "
                              "tensor; the file does not have it",
                              in_quotes(module_of(tensor_name)), to_string(scheme)))
        .at("tensor " + in_quotes(name));
  }
}

namespace {

// Before 2023-12 files had no quant_method; transformers takes those that bitsandbytes made still.
std::string method_of(const JsonFields& f) {
  if (f.contains(kMethod)) return f.string(kMethod);
  for (const char* flag : {"load_in_4bit", "load_in_8bit"}) {
    if (f.boolean_or(std::string(kTop) + '.' + flag, false)) return "bitsandbytes";
  }
  throw unsupported("missing: compressed-tensors and bitsandbytes can be loaded")
      .at("key " + in_quotes(kMethod));
}

}  // namespace

void write_quantization_config(const SchemeMap& schemes, const std::vector<std::string>& plain,
                               JsonWriter& out) {
  const bool compressed = std::all_of(schemes.begin(), schemes.end(), [](const auto& entry) {
    return compressed_tensors::can_hold(entry.second);
  });
  if (compressed) return compressed_tensors::write_config(schemes, plain, out);
  if (bitsandbytes::can_say(schemes)) return bitsandbytes::write_config(schemes, plain, out);
  write_own_config(schemes, plain, out);
}

SchemeMap read_quantization_config(const JsonFields& f, std::span<const MatrixModule> modules,
                                   const TensorSource& tensors) {
  if (!is_empty(f, kOldTop)) {
    throw unsupported(
        "what compressed-tensors called quantization_config until 2024 is not read: "
        "save the model again with a release of today")
        .at("key " + in_quotes(kOldTop));
  }
  if (!f.has_section(kTop)) return {};
  const std::string method = method_of(f);
  if (method == "compressed-tensors") return compressed_tensors::read_config(f, modules, tensors);
  if (method == "bitsandbytes") return bitsandbytes::read_config(f, modules, tensors);
  if (method == "nibble") return read_own_config(f, modules);
  throw unsupported(
      fmt::format("quant_method {} cannot be loaded; compressed-tensors and bitsandbytes can",
                  in_quotes(method)))
      .at("key " + in_quotes(kMethod));
}

}  // namespace nibble
