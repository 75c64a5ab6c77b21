#include "nibble/format/quantized_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "nibble/format/known_keys.h"

namespace nibble {

#define NIBBLE_LAYOUT(name, method)    \
  namespace name {                     \
  const WeightLayout& weight_layout(); \
  }
#include "nibble/format/list.inc"
#undef NIBBLE_LAYOUT

namespace {

constexpr std::string_view kWeightEnd = ".weight";
constexpr char kTop[] = "quantization_config", kGroups[] = "quantization_config.config_groups",
               kMethod[] = "quantization_config.quant_method", kOldTop[] = "compression_config",
               kMlxTop[] = "quantization";

struct LayoutRow {
  std::string_view method;
  const WeightLayout& layout;
};

std::span<const LayoutRow> layouts() {
  static const LayoutRow kRows[] = {
#define NIBBLE_LAYOUT(name, method) {method, name::weight_layout()},
#include "nibble/format/list.inc"
#undef NIBBLE_LAYOUT
  };
  return kRows;
}

// The one that holds weights of a scheme; null where none does.
const WeightLayout* find_layout(const QuantScheme& scheme) {
  for (const auto& [method, l] : layouts()) {
    if (l.holds != nullptr && l.holds(scheme)) return &l;
  }
  return nullptr;
}

const WeightLayout& layout_of(const QuantScheme& scheme, const WeightLayout* given = nullptr) {
  const WeightLayout* found = given != nullptr ? given : find_layout(scheme);
  NIBBLE_CHECK(found != nullptr);
  return *found;
}

std::string methods_that_load() {
  std::vector<std::string_view> names;
  for (const LayoutRow& l : layouts()) names.push_back(l.method);
  return fmt::format("{}", fmt::join(names, ", "));
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
    if (!has_layout(scheme)) require_expressible(scheme);
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

bool has_layout(const QuantScheme& scheme) { return find_layout(scheme) != nullptr; }

void require_expressible(const QuantScheme& s) {
  // Nibble alone knows of a threshold; the tensors are those of int8:a8 with one more.
  const bool own = s.is_integer() && s.activations == ActivationType::a8_outlier;
  std::vector<std::string_view> held;
  for (const auto& [method, l] : layouts()) {
    if (own || s.is_float() || (l.can_hold != nullptr && l.can_hold(s))) return;
    if (!l.holds_what.empty()) held.push_back(l.holds_what);
  }
  throw unsupported(fmt::format("{} cannot be stored in a Hugging Face folder; these can: {}",
                                to_string(s), fmt::join(held, "; ")));
}

std::vector<std::string_view> written_layouts() {
  std::vector<std::string_view> out;
  for (const LayoutRow& l : layouts()) {
    if (l.layout.to_tensors != nullptr) out.push_back(l.method);
  }
  return out;
}

const WeightLayout* find_written_layout(std::string_view name) {
  for (const auto& [method, l] : layouts()) {
    if (method == name && l.to_tensors != nullptr) return &l;
  }
  return nullptr;
}

const WeightLayout* layout_that_says(const SchemeMap& schemes) {
  for (const auto& [method, l] : layouts()) {
    if (l.can_say != nullptr && l.can_say(schemes)) return &l;
  }
  return nullptr;
}

namespace {

std::string_view name_of(const WeightLayout& layout) {
  for (const auto& [method, l] : layouts()) {
    if (&l == &layout) return method;
  }
  return "";
}

// Why not; empty where it can.
std::string misfit(const WeightLayout& layout, const LaidWeight& w) {
  if (!layout.can_hold(w.scheme)) {
    return fmt::format("{} cannot be stored as {}, which holds {}", to_string(w.scheme),
                       name_of(layout), layout.holds_what);
  }
  if (w.conv1d && !layout.conv1d)
    return fmt::format("programs that read {} know no Conv1D", name_of(layout));
  return layout.misfit == nullptr ? "" : layout.misfit(w.scheme, w.shape);
}

}  // namespace

bool is_held(const WeightLayout& layout, const LaidWeight& weight) {
  return misfit(layout, weight).empty();
}

void require_held(const WeightLayout& layout, std::span<const LaidWeight> weights) {
  SchemeMap schemes;
  for (const LaidWeight& w : weights) {
    const std::string why = misfit(layout, w);
    if (!why.empty()) {
      throw unsupported(why + ": keep it as it is (`keep`), choose another scheme or `format`")
          .at("tensor " + in_quotes(w.module + std::string(kWeightEnd)));
    }
    schemes.emplace(w.module, w.scheme);
  }
  if (schemes.empty() || layout.can_say(schemes)) return;
  std::set<std::string> all;
  for (const auto& [module, scheme] : schemes) all.insert(to_string(scheme));
  throw unsupported(fmt::format("{} cannot say that modules are stored in {} side by side",
                                name_of(layout), fmt::join(all, ", ")));
}

std::vector<NamedTensor> to_tensors(std::string_view tensor_name, const QuantizedTensor& q,
                                    const WeightLayout* layout) {
  return layout_of(q.scheme, layout).to_tensors(module_of(tensor_name), q);
}

std::vector<TensorInfo> tensor_layout(std::string_view tensor_name, const QuantScheme& scheme,
                                      const Shape& shape, DType scale_dtype,
                                      const WeightLayout* layout) {
  return layout_of(scheme, layout).infos(module_of(tensor_name), scheme, shape, scale_dtype);
}

QuantizedTensor from_tensors(const TensorSource& source, std::string_view tensor_name,
                             const QuantScheme& scheme, const LayoutInUse& use) {
  return layout_of(scheme, use.layout).from_tensors(source, module_of(tensor_name), scheme, use);
}

std::vector<std::string> stored_names(const TensorSource& source, std::string_view tensor_name,
                                      const QuantScheme& scheme, const LayoutInUse& use) {
  return layout_of(scheme, use.layout).stored_names(source, module_of(tensor_name), scheme);
}

void require_stored(const TensorSource& source, std::string_view tensor_name,
                    const QuantScheme& scheme, const LayoutInUse& use) {
  for (const std::string& name : stored_names(source, tensor_name, scheme, use)) {
    if (source.contains(name)) continue;
    throw corrupt(fmt::format("quantization_config has {} stored as {}, which asks for this "
                              "tensor; the file does not have it",
                              in_quotes(module_of(tensor_name)), to_string(scheme)))
        .at("tensor " + in_quotes(name));
  }
}

namespace {

// MLX has a section of its own, which it copies to where the others have theirs: without a method
// there.
bool is_of_mlx(const JsonFields& f) {
  const bool own = f.has_section(kMlxTop);
  if (own && f.contains(kMethod)) {
    throw unsupported(fmt::format("says how MLX has quantized the weights, and {} how another "
                                  "program has: remove the one that does not hold",
                                  in_quotes(kTop)))
        .at("key " + in_quotes(kMlxTop));
  }
  const std::string top = std::string(kTop) + '.';
  return own ||
         (!f.contains(kMethod) && f.contains(top + "bits") && f.contains(top + "group_size"));
}

// Before 2023-12 files had no quant_method; transformers takes those that bitsandbytes made still.
std::string method_of(const JsonFields& f) {
  if (is_of_mlx(f)) return "mlx";
  if (f.contains(kMethod)) return f.string(kMethod);
  for (const char* flag : {"load_in_4bit", "load_in_8bit"}) {
    if (f.boolean_or(std::string(kTop) + '.' + flag, false)) return "bitsandbytes";
  }
  throw unsupported(fmt::format("missing: {} can be loaded", methods_that_load()))
      .at("key " + in_quotes(kMethod));
}

}  // namespace

void write_quantization_config(const SchemeMap& schemes, const std::vector<std::string>& plain,
                               const WeightLayout* layout, JsonWriter& out) {
  if (layout != nullptr) return layout->write_config(schemes, plain, out);
  write_own_config(schemes, plain, out);
}

StoredModules read_quantization_config(const JsonFields& f, std::span<const MatrixModule> modules,
                                       const TensorSource& tensors) {
  if (!is_empty(f, kOldTop)) {
    throw unsupported(
        "what compressed-tensors called quantization_config until 2024 is not read: "
        "save the model again with a release of today")
        .at("key " + in_quotes(kOldTop));
  }
  if (!f.has_section(kTop) && !f.has_section(kMlxTop)) return {};
  const std::string method = method_of(f);
  if (method == "nibble") return {read_own_config(f, modules)};
  for (const LayoutRow& l : layouts()) {
    if (l.method != method) continue;
    StoredModules out = l.layout.read_config(f, modules, tensors);
    if (out.layout.layout == nullptr) out.layout.layout = &l.layout;
    return out;
  }
  throw unsupported(fmt::format("quant_method {} cannot be loaded; {} can", in_quotes(method),
                                methods_that_load()))
      .at("key " + in_quotes(kMethod));
}

}  // namespace nibble
