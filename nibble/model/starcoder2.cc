// StarCoder2 (Lozhkov et al. 2024): LayerNorm, biases and a plain MLP with GELU; windows in larger
// models.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::starcoder2 {
namespace {

constexpr hf::NameRow kNames[] = {{Role::up, "mlp.c_fc"}, {Role::down, "mlp.c_proj"}};

std::string tensor_name(const ParamKey& key) { return hf::tensor_name_or_llama(kNames, key); }

constexpr std::string_view kHarmless[] = {"embedding_dropout", "residual_dropout"};

DecoderConfig read_config(const JsonFields& f) {
  hf::require_text(f, "norm_type", "layer_norm");
  DecoderConfig c = hf::read_llama_like(f, "starcoder2");
  hf::set_layer_norm(f, "norm_epsilon", true, c);
  c.mlp = hf::activation(f, "hidden_act", "gelu_pytorch_tanh");
  c.qkv_bias = c.o_bias = c.mlp_bias = f.boolean_or("use_bias", true);
  c.tied = f.boolean_or("tie_word_embeddings", true);
  hf::read_window(f, 0, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("norm_epsilon", c.norm_eps);
  out.field("use_bias", c.qkv_bias);
  out.key("sliding_window");
  c.sliding_window > 0 ? out.value(c.sliding_window) : out.null();
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kStarcoder2{"starcoder2", read_config, write_config, tensor_name,
                                        false,        "model.",    false,        kHarmless};
  return kStarcoder2;
}

}  // namespace nibble::starcoder2
