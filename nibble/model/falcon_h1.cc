// Falcon-H1 (Technology Innovation Institute 2025): attention and Mamba2 side by side on one norm,
// with multipliers of embeddings, of what both read and give, of keys, of a gate and of logits.
#include <fmt/format.h>

#include <cmath>

#include "nibble/model/architecture.h"
#include "nibble/model/hf_mamba.h"

namespace nibble::falcon_h1 {
namespace {

constexpr hf::NameRow kNames[] = {{Role::final_norm, "final_layernorm"},
                                  {Role::mlp_norm, "pre_ff_layernorm"},
                                  {Role::gate, "feed_forward.gate_proj"},
                                  {Role::up, "feed_forward.up_proj"},
                                  {Role::down, "feed_forward.down_proj"}};
constexpr std::string_view kHarmless[] = {"mamba_chunk_size",     "num_logits_to_keep",
                                          "mamba_use_mlp",        "attn_layer_indices",
                                          "mlp_expansion_factor", "mamba_expand"};

std::string tensor_name(const ParamKey& key) {
  return hf::has_row(hf::kMambaNames, key.role) ? hf::tensor_name(hf::kMambaNames, "layers", key)
                                                : hf::tensor_name_or_llama(kNames, key);
}

std::vector<double> multipliers(const JsonFields& f, std::string_view key, size_t count) {
  if (!f.contains(key) || f.is_null(key)) return std::vector<double>(count, 1.0);
  std::vector<double> out = f.numbers(key);
  bool right = out.size() == count;
  for (const double v : out) right = right && v > 0;
  if (!right) throw corrupt(fmt::format("must be {} positive numbers", count)).at(hf::at_key(key));
  return out;
}

// What reads a scaled row gives what is scaled, where it has no bias.
double input_scale(const JsonFields& f, std::string_view key, bool bias) {
  const double scale = hf::positive_or(f, key, 1);
  if (scale != 1 && bias)
    throw unsupported("a multiplier of what a projection with a bias reads cannot be run")
        .at(hf::at_key(key));
  return scale;
}

void read_scales(const JsonFields& f, DecoderConfig& c) {
  c.embedding_scale = hf::positive_or(f, "embedding_multiplier", 1);
  c.logit_scale = hf::positive_or(f, "lm_head_multiplier", 1);
  const double in = input_scale(f, "attention_in_multiplier", c.qkv_bias);
  c.attention_scale = in * in * hf::positive_or(f, "key_multiplier", 1) /
                      std::sqrt(static_cast<double>(c.head_dim));
  c.attention_out_scale = in * hf::positive_or(f, "attention_out_multiplier", 1);
  const std::vector<double> mlp = multipliers(f, "mlp_multipliers", 2),
                            ssm = multipliers(f, "ssm_multipliers", 5);
  c.gate_scale = mlp[0];
  c.down_scale = mlp[1];
  const double mamba_in = input_scale(f, "ssm_in_multiplier", c.mamba.in_bias);
  for (size_t i = 0; i < 5; ++i) c.mamba.scales[i] = mamba_in * ssm[i];
  c.mamba.out_scale = hf::positive_or(f, "ssm_out_multiplier", 1);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "falcon_h1");
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.mlp_bias = f.boolean_or("mlp_bias", false);
  const bool has_width = f.contains("mamba_d_ssm") && !f.is_null("mamba_d_ssm");
  const int64_t expand = f.contains("mamba_expand") ? hf::size(f, "mamba_expand") : 2;
  const int64_t wide =
      std::min<int64_t>(expand, 1 << 10) * std::min<int64_t>(c.hidden_size, 1 << 20);
  hf::read_mamba(f, has_width ? hf::size(f, "mamba_d_ssm") : wide, c);
  c.mamba.out_bias = f.boolean_or("projectors_bias", false);
  c.mamba.norm = !f.boolean_or("mamba_rms_norm", false)         ? GateNorm::none
                 : f.boolean_or("mamba_norm_before_gate", true) ? GateNorm::before
                                                                : GateNorm::behind;
  f.contains("mamba_norm_before_gate");
  hf::read_step_bounds(f, c);
  read_scales(f, c);
  hf::set_layer_kinds(c, [](int64_t) { return LayerKind::mamba_beside; });
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("attention_bias", c.qkv_bias).field("mlp_bias", c.mlp_bias);
  hf::write_mamba(c, out);
  out.field("mamba_d_ssm", c.mamba.width()).field("projectors_bias", c.mamba.out_bias);
  out.field("mamba_rms_norm", c.mamba.norm != GateNorm::none);
  out.field("mamba_norm_before_gate", c.mamba.norm != GateNorm::behind);
  out.field("embedding_multiplier", c.embedding_scale);
  out.field("lm_head_multiplier", c.logit_scale);
  out.field("key_multiplier", c.attention_scale * std::sqrt(static_cast<double>(c.head_dim)));
  out.field("attention_in_multiplier", 1.0);
  out.field("attention_out_multiplier", c.attention_out_scale);
  out.array("mlp_multipliers", std::vector{c.gate_scale, c.down_scale});
  out.field("ssm_in_multiplier", 1.0).field("ssm_out_multiplier", c.mamba.out_scale);
  out.array("ssm_multipliers", std::vector(c.mamba.scales.begin(), c.mamba.scales.end()));
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kFalconH1{"falcon_h1", read_config, write_config, tensor_name,
                                      false,       "model.",    false,        kHarmless};
  return kFalconH1;
}

}  // namespace nibble::falcon_h1
