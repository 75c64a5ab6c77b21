// The quantization_config of compressed-tensors, as nibble writes it.
#include <fmt/format.h>

#include <set>

#include "nibble/core/error.h"
#include "nibble/format/compressed_tensors.h"
#include "nibble/format/compressed_tensors_parts.h"

namespace nibble::compressed_tensors {
namespace {

void write_weights(const QuantScheme& s, JsonWriter& out) {
  const WeightRow& row = *find_row(s);
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
  const bool fp8 = s.activations == ActivationType::afp8;
  out.begin_object().field("num_bits", 8).field("type", fp8 ? "float" : "int");
  out.field("symmetric", true);
  const bool fixed = s.activations == ActivationType::a8_static;
  out.field("strategy", fixed ? "tensor" : "token").key("group_size").null();
  out.field("dynamic", !fixed);
  if (s.activations == ActivationType::a8) {  // else it is a8full, as compressed-tensors computes
    out.key("observer_kwargs").begin_object();
    out.field("quant_min", -127).field("quant_max", 127).end_object();
  }
  out.end_object();
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

}  // namespace nibble::compressed_tensors
