// The quantization_config of compressed-tensors, whoever wrote it: every key is honoured, harmless
// or refused (compressed_tensors/quantization/quant_{config,scheme,args}.py, read 2026-11).
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "nibble/core/error.h"
#include "nibble/format/compressed_tensors.h"
#include "nibble/format/compressed_tensors_parts.h"
#include "nibble/format/known_keys.h"
#include "nibble/quant/number.h"

namespace nibble::compressed_tensors {
namespace {

constexpr char kTop[] = "quantization_config", kFormat[] = "quantization_config.format",
               kGroups[] = "quantization_config.config_groups",
               kIgnore[] = "quantization_config.ignore";
constexpr size_t kMostGroups = 1024;

constexpr KnownKey kTopKeys[] = {
    {"quant_method"},
    {"version"},
    {"format"},
    {"config_groups"},
    {"ignore"},
    {"quantization_status"},
    {"global_compression_ratio"},
    {"sparsity_config"},
    {"transform_config"},
    {"kv_cache_scheme", "the numbers that keys and values are kept in"},
    // How transformers is to load the same weights.
    {"run_compressed"},
    {"dequantize"},
    {"use_optimized_inference"},
};
constexpr KnownKey kGroupKeys[] = {
    {"targets"},
    {"weights"},
    {"input_activations"},
    {"format"},
    {"output_activations", "the rounding of what a layer gives"},
};
// zp_dtype and the observer say how the numbers were found; what they are stands in the tensors.
constexpr KnownKey kArgKeys[] = {
    {"num_bits"},
    {"type"},
    {"symmetric"},
    {"strategy"},
    {"group_size"},
    {"dynamic"},
    {"actorder"},
    {"scale_dtype"},
    {"zp_dtype"},
    {"observer"},
    {"observer_kwargs"},
    {"block_structure", "which weights share a scale (blocks of rows and columns)"},
};

// Which weights may lie in a format, beside the one that their row says.
struct FormatRow {
  std::string_view name, kind;
  int bits;  // 0: any
};
constexpr FormatRow kFormats[] = {
    {"int-quantized", "int", 0}, {"naive-quantized", "int", 0}, {"naive-quantized", "float", 8}};

std::string at_key(std::string_view key) { return "key " + in_quotes(key); }

// What a config says of weights or of activations.
struct Args {
  std::string key, kind, strategy;
  int64_t bits = 8, group = 0;
  bool symmetric = true, dynamic = false;
};

// Where no strategy is named, the group says it.
std::string strategy_of(const JsonFields& f, const std::string& key, int64_t group) {
  std::string said = f.string_or(key + ".strategy", "");
  const bool grouped = said == "group" || said == "tensor_group";
  if (!said.empty() && (group > 0) != grouped) {
    throw corrupt(fmt::format("{} and strategy {} contradict each other", group, in_quotes(said)))
        .at(at_key(key + ".group_size"));
  }
  if (!said.empty()) return said;
  return group > 0 ? "group" : group == -1 ? "channel" : "tensor";
}

// "local" is dynamic, too: scales of groups of the inputs.
bool is_dynamic(const JsonFields& f, const std::string& key) {
  try {
    return f.boolean_or(key, false);
  } catch (const Error&) {
    if (f.string(key) == "local") return true;
    throw;
  }
}

Args read_args(const JsonFields& f, const std::string& key) {
  require_known_keys(f, key, kArgKeys);
  Args a;
  a.key = key;
  a.kind = f.string_or(key + ".type", "int");
  a.bits = f.integer_or(key + ".num_bits", 8);
  a.group = f.integer_or(key + ".group_size", 0);
  a.strategy = strategy_of(f, key, a.group);
  a.symmetric = f.boolean_or(key + ".symmetric", true);
  a.dynamic = is_dynamic(f, key + ".dynamic");
  return a;
}

const WeightRow& row_of(const Args& w) {
  for (const WeightRow& r : kWeightRows) {
    if (r.kind == w.kind && r.strategy == w.strategy && (r.bits == 0 || r.bits == w.bits) &&
        (r.group == 0 || r.group == w.group))
      return r;
  }
  throw unsupported(fmt::format("{} weights of {} bits with strategy {} and group_size {} are not "
                                "ones that nibble loads ({})",
                                printable(w.kind), w.bits, in_quotes(w.strategy), w.group, kHolds))
      .at(at_key(w.key + ".type"));
}

// What the scales are stored in, where it is said: the tensors must be of it.
void check_scale_dtype(const JsonFields& f, const Args& w, const WeightRow& row) {
  const std::string said = f.string_or(w.key + ".scale_dtype", "");
  const bool plain = said == "torch.float16" || said == "torch.bfloat16" || said == "torch.float32";
  if (said.empty() || (row.scale_dtype.empty() ? plain : said == row.scale_dtype)) return;
  throw unsupported(
      fmt::format("is {}, which nibble does not read for these weights", in_quotes(said)))
      .at(at_key(w.key + ".scale_dtype"));
}

// ":a8" where the codes are said to end at -127, as ours are and those of many kernels; else
// ":a8full", as compressed-tensors computes.
std::string per_token_codes(const JsonFields& f, const std::string& key) {
  const std::string low = key + ".observer_kwargs.quant_min",
                    high = key + ".observer_kwargs.quant_max";
  const int64_t from = f.integer_or(low, -128), to = f.integer_or(high, 127);
  if (to == 127 && (from == -127 || from == -128)) return from == -127 ? ":a8" : ":a8full";
  throw unsupported(fmt::format("codes from {} to {} are not ones that nibble rounds inputs to "
                                "(-128 or -127 to 127)",
                                from, to))
      .at(at_key(to == 127 ? low : high));
}

// ":a8full", ":a8", ":a8static", ":afp8" or nothing.
std::string read_activations(const JsonFields& f, const std::string& key, const WeightRow& row) {
  if (is_empty(f, key)) return {};
  const Args a = read_args(f, key);
  const bool eight = a.bits == 8 && a.symmetric && is_empty(f, key + ".actorder");
  const bool per_token = eight && a.strategy == "token" && a.dynamic;
  const bool fixed = eight && a.strategy == "tensor" && !a.dynamic;
  if (a.kind == "int" && row.kind == "int" && (per_token || fixed))
    return fixed ? ":a8static" : per_token_codes(f, key);
  if (a.kind == "float" && per_token && (number(row.type).parts & kAfp8Part) != 0) return ":afp8";
  throw unsupported(
      fmt::format("inputs of {} bits, {}, strategy {}, {}, {}, are not ones that nibble rounds to "
                  "(8 bits, symmetric: per token and dynamic, or int per tensor and static)",
                  a.bits, printable(a.kind), in_quotes(a.strategy),
                  a.symmetric ? "symmetric" : "asymmetric", a.dynamic ? "dynamic" : "static"))
      .at(at_key(key));
}

QuantScheme read_weights(const JsonFields& f, const std::string& group) {
  const Args w = read_args(f, group + ".weights");
  const WeightRow& row = row_of(w);
  check_scale_dtype(f, w, row);
  if (w.dynamic) {
    throw unsupported("weights whose scales are found at run time are not ones that nibble loads")
        .at(at_key(w.key + ".dynamic"));
  }
  QuantScheme s;
  s.type = row.type;
  std::string text = row.bits == 0 ? fmt::format("int{}", w.bits) : to_string(s);
  if (row.group == 0 && row.granularity == Granularity::group)
    text += fmt::format(":g{}", w.group);
  else if (row.group == 0)
    text += fmt::format(":{}", row.strategy);
  if (!w.symmetric) text += ":asym";
  text += read_activations(f, group + ".input_activations", row);
  try {
    return parse_scheme(text);
  } catch (const Error& e) {
    throw corrupt(e.reason()).at(at_key(w.key));
  }
}

// The group's format, else that of the whole; nothing where readers are to infer it.
void check_format(const JsonFields& f, const std::string& group, const QuantScheme& s) {
  const std::string own = group + ".format";
  const bool said = !is_empty(f, own);
  const std::string key = said ? own : kFormat, format = f.string_or(key, "");
  if (format.empty() || (!said && format == "mixed-precision")) return;
  const std::string_view kind = s.is_integer() ? "int" : "float";
  const auto fits = [&](const FormatRow& r) {
    return r.name == format && r.kind == kind && (r.bits == 0 || r.bits == s.bits());
  };
  if (format == format_of(s) || std::any_of(std::begin(kFormats), std::end(kFormats), fits)) return;
  throw unsupported(fmt::format("{} is not a format in which nibble reads {} weights of {} bits",
                                in_quotes(format), kind, s.bits()))
      .at(at_key(key));
}

// Nothing where the group leaves its modules plain.
std::optional<QuantScheme> read_group(const JsonFields& f, const std::string& group) {
  if (!f.contains(group + ".targets")) {
    throw unsupported(
        "expected an object with targets and weights (a preset's name does not say "
        "what was stored)")
        .at(at_key(group));
  }
  require_known_keys(f, group, kGroupKeys);
  if (is_empty(f, group + ".weights")) {
    if (is_empty(f, group + ".input_activations")) return std::nullopt;
    throw unsupported("inputs of plain weights are rounded, which nibble does not do")
        .at(at_key(group + ".input_activations"));
  }
  const QuantScheme scheme = read_weights(f, group);
  check_format(f, group, scheme);
  return scheme;
}

// Sections that say nothing where they are empty, or hold nothing but an empty list of groups.
void check_top(const JsonFields& f) {
  constexpr char kSparsity[] = "quantization_config.sparsity_config",
                 kTransform[] = "quantization_config.transform_config",
                 kStatus[] = "quantization_config.quantization_status";
  constexpr KnownKey kNoTransform[] = {{"config_groups", "what a layer reads (rotated inputs)"}};
  require_known_keys(f, kTop, kTopKeys);
  if (!f.has_section(kGroups)) throw corrupt("missing, and needed").at(at_key(kGroups));
  if (!is_empty(f, kSparsity) &&
      f.string_or("quantization_config.sparsity_config.format", "") != "dense") {
    throw unsupported("sparse weights are not ones that nibble loads: save them dense")
        .at(at_key(kSparsity));
  }
  if (!is_empty(f, kTransform)) require_known_keys(f, kTransform, kNoTransform);
  if (const std::string status = f.string_or(kStatus, "compressed"); status != "compressed") {
    throw unsupported(fmt::format("is {}: the weights are to be rounded when they are used, which "
                                  "nibble does not do (save the model compressed)",
                                  in_quotes(status)))
        .at(at_key(kStatus));
  }
}

bool asks_for_order(const JsonFields& f, const std::string& key) {
  try {
    const std::string order = f.string_or(key, "");
    if (order.empty() || order == "weight" || order == "static") return false;
    if (order == "group" || order == "dynamic") return true;
    throw unsupported(fmt::format("is {}; expected group, weight or null", in_quotes(order)))
        .at(at_key(key));
  } catch (const Error& e) {
    if (e.kind() == ErrorKind::unsupported) throw;
    return f.boolean(key);  // true, once, for "group"
  }
}

// Groups of columns in any order must be both asked for and there.
void check_order(const JsonFields& f, const std::string& group, const std::string& module,
                 const TensorSource& tensors) {
  const std::string key = group + ".weights.actorder", name = order_name(module);
  const bool asked = asks_for_order(f, key), there = tensors.contains(name);
  if (asked == there) return;
  throw corrupt(
      asked ? fmt::format("key {} asks for this tensor, the file does not have it", in_quotes(key))
            : fmt::format("gives every column a group of its own choice, which key {} "
                          "does not ask for",
                          in_quotes(key)))
      .at("tensor " + in_quotes(name));
}

}  // namespace

StoredModules read_config(const JsonFields& f, std::span<const MatrixModule> modules,
                          const TensorSource& tensors) {
  check_top(f);
  ModuleTargets ignored(modules), targets(modules);
  for (const std::string& entry : f.strings(kIgnore)) ignored.add(entry, 0, kIgnore);
  const std::vector<std::string> names = f.keys(kGroups);
  if (names.size() > kMostGroups) {
    throw unsupported(fmt::format("{} groups, limit {}", names.size(), kMostGroups))
        .at(at_key(kGroups));
  }
  std::vector<std::optional<QuantScheme>> schemes;
  for (const std::string& name : names) {
    const std::string group = fmt::format("{}.{}", kGroups, name);
    schemes.push_back(read_group(f, group));
    for (const std::string& target : f.strings(group + ".targets"))
      targets.add_target(target, schemes.size() - 1, group + ".targets");
  }
  SchemeMap out;
  for (const MatrixModule& m : modules) {
    if (ignored.find(m)) continue;
    const auto found = targets.find(m);
    if (!found || !schemes[*found]) continue;
    check_order(f, fmt::format("{}.{}", kGroups, names[*found]), m.name, tensors);
    out.emplace(m.name, *schemes[*found]);
  }
  return {std::move(out)};
}

}  // namespace nibble::compressed_tensors
