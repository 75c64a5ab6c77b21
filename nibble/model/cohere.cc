// Command R (Cohere 2024): both halves of a layer read one LayerNorm, rotary pairs are neighbours.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::cohere {
namespace {

constexpr double kTheta = 500000;
constexpr double kLogitScale = 0.0625;

DecoderConfig read_config(const JsonFields& f) {
  hf::require_flag(f, "use_qk_norm", false);
  DecoderConfig c = hf::read_llama_like(f, "cohere", kTheta, {.neighbours = true});
  hf::set_layer_norm(f, "layer_norm_eps", false, c);
  c.tied = f.boolean_or("tie_word_embeddings", true);
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.halves = Halves::one_norm;
  c.logit_scale = hf::positive_or(f, "logit_scale", kLogitScale);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("layer_norm_eps", c.norm_eps);
  out.field("attention_bias", c.qkv_bias);
  out.field("logit_scale", c.logit_scale);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kCohere{"cohere", read_config, write_config, hf::llama_tensor_name,
                                    false,    "model.",    false,        {}};
  return kCohere;
}

}  // namespace nibble::cohere
