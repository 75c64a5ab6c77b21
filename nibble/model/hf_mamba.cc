#include "nibble/model/hf_mamba.h"

#include <fmt/format.h>

namespace nibble::hf {
namespace {

int64_t bounded(const JsonFields& f, std::string_view key, int64_t otherwise, int64_t most) {
  const int64_t value = f.integer_or(key, otherwise);
  if (value >= 1 && value <= most) return value;
  throw corrupt(fmt::format("must be between 1 and {} (got {})", most, value)).at(at_key(key));
}

constexpr int64_t kMostHeads = 1 << 14, kMostWidth = 1 << 12, kMostTaps = 1 << 10;

struct MambaKeys {
  std::string_view heads, groups, state, taps, conv_bias;
  int64_t usual_heads, usual_groups, usual_state;
};
constexpr MambaKeys kBamba{"mamba_n_heads",
                           "mamba_n_groups",
                           "mamba_d_state",
                           "mamba_d_conv",
                           "mamba_conv_bias",
                           128,
                           1,
                           256};
constexpr MambaKeys kNemotron{
    "mamba_num_heads", "n_groups", "ssm_state_size", "conv_kernel", "use_conv_bias", 128, 8, 128};

void read_shape(const JsonFields& f, const MambaKeys& keys, MambaConfig& m) {
  m.heads = bounded(f, keys.heads, keys.usual_heads, kMostHeads);
  m.groups = bounded(f, keys.groups, keys.usual_groups, kMostHeads);
  m.state = bounded(f, keys.state, keys.usual_state, kMostWidth);
  m.taps = bounded(f, keys.taps, 4, kMostTaps);
  m.conv_bias = f.boolean_or(keys.conv_bias, true);
  if (m.heads % m.groups != 0)
    throw corrupt(fmt::format("{} groups do not divide {} heads", m.groups, m.heads))
        .at(at_key(keys.groups));
}

}  // namespace

void read_mamba(const JsonFields& f, int64_t width, DecoderConfig& c) {
  MambaConfig& m = c.mamba;
  read_shape(f, kBamba, m);
  m.head_dim = divide_heads(width, m.heads, "mamba_n_heads");
  const bool is_auto = f.contains("mamba_d_head") && f.is_string("mamba_d_head") &&
                       f.string("mamba_d_head") == "auto";
  const int64_t said = is_auto ? m.head_dim : bounded(f, "mamba_d_head", m.head_dim, kMostWidth);
  if (said != m.head_dim || said > kMostWidth)
    throw corrupt(fmt::format("{} heads of {} are not {} wide", m.heads, said, width))
        .at(at_key("mamba_d_head"));
  m.in_bias = f.boolean_or("mamba_proj_bias", false);
}

void read_nemotron_mamba(const JsonFields& f, DecoderConfig& c) {
  MambaConfig& m = c.mamba;
  read_shape(f, kNemotron, m);
  m.head_dim = bounded(f, "mamba_head_dim", 64, kMostWidth);
  m.in_bias = m.out_bias = f.boolean_or("use_bias", false);
}

void write_mamba(const DecoderConfig& c, JsonWriter& out) {
  const MambaConfig& m = c.mamba;
  out.field("mamba_n_heads", m.heads).field("mamba_d_head", m.head_dim);
  out.field("mamba_n_groups", m.groups).field("mamba_d_state", m.state);
  out.field("mamba_d_conv", m.taps).field("mamba_conv_bias", m.conv_bias);
  out.field("mamba_proj_bias", m.in_bias);
  write_step_bounds(c, out);
}

void read_step_bounds(const JsonFields& f, DecoderConfig& c) {
  constexpr std::string_view kKey = "time_step_limit";
  if (!f.contains(kKey) || f.is_null(kKey)) return;
  const auto number = [&](const std::string& at, double infinite) {
    const bool spelled = f.contains(at + ".__float__");
    if (spelled && f.string(at + ".__float__") == "Infinity") return infinite;
    if (f.contains(at) && f.shown(at) == "Infinity") return infinite;
    return f.number(spelled ? at + ".__float__" : at);
  };
  const double least = number("time_step_limit.0", -1), most = number("time_step_limit.1", 0);
  const bool endless = most == 0;
  if (!(least >= 0) || (!endless && !(most > least)) || f.contains("time_step_limit.2"))
    throw corrupt("must be two numbers, the first at least 0 and below the second")
        .at(at_key(kKey));
  c.mamba.step_least = least;
  c.mamba.step_most = most;
}

void write_step_bounds(const DecoderConfig& c, JsonWriter& out) {
  const MambaConfig& m = c.mamba;
  if (m.step_least == 0 && m.step_most == 0) return;
  out.key("time_step_limit").begin_array().value(m.step_least);
  if (m.step_most > 0)
    out.value(m.step_most);
  else
    out.begin_object().field("__float__", "Infinity").end_object();
  out.end_array();
}

void read_mamba_kinds(const std::vector<std::string>& names, std::string_view key,
                      DecoderConfig& c) {
  c.layer_kinds.clear();
  for (const std::string& name : names) {
    if (name == "mamba" || name == "linear_attention")
      c.layer_kinds.push_back(LayerKind::mamba);
    else if (name == "attention" || name == "full_attention")
      c.layer_kinds.push_back(LayerKind::full);
    else
      throw unsupported(fmt::format("a layer is {}, which cannot be run here (expected "
                                    "linear_attention or full_attention)",
                                    in_quotes(name)))
          .at(at_key(key));
  }
}

}  // namespace nibble::hf
