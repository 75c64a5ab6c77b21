#include <cmath>

#include "nibble/core/float_formats.h"
#include "nibble/model/hf_gemma.h"

namespace nibble::hf {
namespace {

constexpr NameRow kGemmaNorms[] = {{Role::post_attn_norm, "post_attention_layernorm"},
                                   {Role::mlp_norm, "pre_feedforward_layernorm"},
                                   {Role::post_mlp_norm, "post_feedforward_layernorm"}};

constexpr double kGemmaQueryScalar = 256;

}  // namespace

std::string gemma_tensor_name(const ParamKey& key) {
  return tensor_name_or_llama(kGemmaNorms, key);
}

double gemma_embedding_scale(const JsonFields& f, int64_t width) {
  const auto root = static_cast<float>(std::sqrt(static_cast<double>(width)));
  const std::string type = f.string_or("dtype", f.string_or("torch_dtype", "float32"));
  return type == "bfloat16" ? bf16_to_f32(f32_to_bf16(root)) : root;
}

double read_cap(const JsonFields& f, std::string_view key, double otherwise) {
  return f.is_null(key) ? 0 : f.number_or(key, otherwise);
}

void write_cap(std::string_view key, double value, JsonWriter& out) {
  out.key(key);
  value > 0 ? out.value(value) : out.null();
}

DecoderConfig read_gemma_like(const JsonFields& f, std::string_view model_type, double theta) {
  require_flag(f, "use_bidirectional_attention", false);
  DecoderConfig c = read_llama_like(f, model_type, theta, {.layers = "full_attention"});
  c.head_dim = f.integer_or("head_dim", kGemmaHeadDim);
  c.mlp = activation(f, "hidden_activation", "gelu_pytorch_tanh", true);
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.tied = f.boolean_or("tie_word_embeddings", true);
  c.post_norms = true;
  c.norm_offset = 1;
  c.embedding_scale = gemma_embedding_scale(f, c.hidden_size);
  c.attention_scale = 1 / std::sqrt(positive_or(f, "query_pre_attn_scalar", kGemmaQueryScalar));
  return c;
}

void write_gemma_like(const DecoderConfig& c, JsonWriter& out, bool rope) {
  write_llama_like(c, out, rope);
  out.field("hidden_activation", activation_name(c.mlp));
  out.field("attention_bias", c.qkv_bias);
  out.field("query_pre_attn_scalar", 1 / (c.attention_scale * c.attention_scale));
  write_cap("attn_logit_softcapping", c.attention_softcap, out);
  write_cap("final_logit_softcapping", c.final_softcap, out);
  out.field("sliding_window", c.sliding_window);
  write_layer_types(c, out);
}

}  // namespace nibble::hf
