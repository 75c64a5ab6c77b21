// The quantization_config of compressed-tensors.
#include <fmt/format.h>

#include <set>

#include "nibble/format/compressed_tensors.h"

namespace nibble::compressed_tensors {
namespace {

constexpr std::string_view kTop = "quantization_config";

// The types and granularities there are, as the config says them: one row each, searched both ways.
// `group` 0: what the scheme says, or none.
struct WeightRow {
  std::string_view kind;  // "int", "float"
  int bits;               // 0: any integer
  std::string_view strategy;
  int64_t group;
  NumberType type;
  Granularity granularity;
  std::string_view scale_dtype;  // where it must be said
};
constexpr WeightRow kRows[] = {
    {"int", 0, "tensor", 0, NumberType::int8, Granularity::tensor, ""},
    {"int", 0, "channel", 0, NumberType::int8, Granularity::channel, ""},
    {"int", 0, "group", 0, NumberType::int8, Granularity::group, ""},
    {"float", 8, "tensor", 0, NumberType::fp8_e4m3, Granularity::tensor, ""},
    {"float", 8, "channel", 0, NumberType::fp8_e4m3, Granularity::channel, ""},
    {"float", 4, "group", 32, NumberType::mxfp4, Granularity::group, "torch.uint8"},
    {"float", 4, "tensor_group", 16, NumberType::nvfp4, Granularity::group, "torch.float8_e4m3fn"},
};

const WeightRow& row_of(const QuantScheme& s) {
  for (const WeightRow& r : kRows) {
    const bool type = r.bits == 0 ? s.is_integer() : r.type == s.type;
    if (type && r.granularity == s.granularity) return r;
  }
  NIBBLE_CHECK(false);
  return kRows[0];
}

void write_weights(const QuantScheme& s, JsonWriter& out) {
  const WeightRow& row = row_of(s);
  out.key("weights").begin_object();
  out.field("num_bits", s.bits()).field("type", row.kind).field("symmetric", !s.asymmetric);
  out.field("strategy", row.strategy).key("group_size");
  s.granularity == Granularity::group ? out.value(s.group) : out.null();
  out.field("dynamic", false).key("actorder").null().key("block_structure").null();
  out.field("observer", "minmax").key("observer_kwargs").begin_object().end_object();
  if (!row.scale_dtype.empty()) out.field("scale_dtype", row.scale_dtype);
  out.end_object();
}

void write_activations(const QuantScheme& s, JsonWriter& out) {
  out.key("input_activations");
  if (s.activations == ActivationType::none) {
    out.null();
    return;
  }
  out.begin_object().field("num_bits", 8).field("type", "int").field("symmetric", true);
  const bool fixed = s.activations == ActivationType::a8_static;
  out.field("strategy", fixed ? "tensor" : "token").key("group_size").null();
  out.field("dynamic", !fixed).end_object();
}

const WeightRow& find_row(const JsonFields& f, const std::string& w) {
  const std::string kind = f.string_or(w + "type", "int");
  const std::string strategy = f.string_or(w + "strategy", "channel");
  const int64_t bits = f.integer(w + "num_bits"), group = f.integer_or(w + "group_size", 0);
  for (const WeightRow& r : kRows) {
    if (r.kind == kind && r.strategy == strategy && (r.bits == 0 || r.bits == bits) &&
        (r.group == 0 || r.group == group))
      return r;
  }
  throw unsupported(fmt::format("{} weights of {} bits with strategy {} and group_size {} are not "
                                "ones that nibble loads (int; fp8 tensor or channel; mxfp4; nvfp4)",
                                kind, bits, in_quotes(strategy), group))
      .at("key \"" + w + "type\"");
}

// ":a8", ":a8static", ":afp8" or nothing.
std::string read_activations(const JsonFields& f, const std::string& group,
                             const WeightRow& weights) {
  const std::string a = group + ".input_activations";
  if (!f.has_section(a) || f.is_null(a)) return {};
  const bool per_token =
      f.string_or(a + ".strategy", "") == "token" && f.integer_or(a + ".num_bits", 0) == 8;
  const std::string kind = f.string_or(a + ".type", "int");
  const bool fixed = f.string_or(a + ".strategy", "") == "tensor" &&
                     f.integer_or(a + ".num_bits", 0) == 8 && !f.boolean_or(a + ".dynamic", false);
  if (fixed && kind == "int" && weights.kind == "int" && f.boolean_or(a + ".symmetric", true))
    return ":a8static";
  if (per_token && kind == "int" && weights.kind == "int") return ":a8";
  if (per_token && kind == "float" && weights.type == NumberType::fp8_e4m3) return ":afp8";
  throw unsupported(
      "only int8 activations per token or per tensor (with int weights) or fp8 ones (with fp8 "
      "weights) can be "
      "loaded")
      .at("key \"" + a + "\"");
}

QuantScheme read_weights(const JsonFields& f, const std::string& group) {
  const std::string w = group + ".weights.";
  const WeightRow& row = find_row(f, w);
  const bool symmetric = f.boolean_or(w + "symmetric", true);
  QuantScheme s;
  s.type = row.type;
  std::string text = row.bits == 0 ? fmt::format("int{}", f.integer(w + "num_bits")) : to_string(s);
  if (row.group == 0 && row.granularity == Granularity::group)
    text += fmt::format(":g{}", f.integer(w + "group_size"));
  else if (row.group == 0)
    text += fmt::format(":{}", row.strategy);
  if (!symmetric) text += ":asym";
  text += read_activations(f, group, row);
  try {
    return parse_scheme(text);
  } catch (const Error& e) {
    throw corrupt(e.reason()).at("key \"" + group + ".weights\"");
  }
}

}  // namespace

void write_config(const SchemeMap& schemes, const std::vector<std::string>& plain,
                  JsonWriter& out) {
  std::map<std::string, std::vector<std::string>> groups;
  std::set<std::string_view> formats;
  for (const auto& [module, scheme] : schemes) {
    groups[to_string(scheme)].push_back(module);
    formats.insert(format_of(scheme));
  }
  out.begin_object().field("quant_method", "compressed-tensors").field("version", "0.12.2");
  out.field("format", formats.size() == 1 ? *formats.begin() : std::string_view("mixed-precision"));
  out.field("quantization_status", "compressed").key("global_compression_ratio").null();
  out.key("kv_cache_scheme").null().key("config_groups").begin_object();
  int index = 0;
  for (const auto& [spelling, modules] : groups) {
    const QuantScheme scheme = parse_scheme(spelling);
    out.key(fmt::format("group_{}", index++)).begin_object();
    out.array("targets", modules).field("format", format_of(scheme));
    write_weights(scheme, out);
    write_activations(scheme, out);
    out.key("output_activations").null().end_object();
  }
  out.end_object().array("ignore", plain).end_object();
}

SchemeMap read_config(const JsonFields& f, const std::vector<std::string>& modules) {
  const std::string top(kTop);
  const auto ignored = f.strings(top + ".ignore");
  const std::set<std::string> ignore(ignored.begin(), ignored.end());
  const std::string groups = top + ".config_groups";
  SchemeMap out, by_class;
  for (const std::string& name : f.keys(groups)) {
    const std::string group = groups + "." + name;
    const QuantScheme scheme = read_weights(f, group);
    for (const std::string& target : f.strings(group + ".targets")) {
      if (target.starts_with("re:"))
        throw unsupported(
            fmt::format("target {} is a regular expression, which nibble does not read yet",
                        in_quotes(target)))
            .at("key \"" + group + ".targets\"");
      if (target == "Linear") {
        for (const std::string& m : modules) {
          if (!ignore.contains(m)) by_class.emplace(m, scheme);
        }
      } else {
        out[target] = scheme;
      }
    }
  }
  out.merge(by_class);
  return out;
}

}  // namespace nibble::compressed_tensors
