#include "nibble/model/hf_latent.h"

#include <fmt/format.h>

#include <cmath>

namespace nibble::hf {
namespace {

// Which of two ways queries are made must be said.
int64_t read_q_rank(const JsonFields& f) {
  constexpr std::string_view kKey = "q_lora_rank";
  if (!f.contains(kKey)) throw corrupt("missing (null: queries are one matrix)").at(at_key(kKey));
  return f.is_null(kKey) ? 0 : size(f, kKey);
}

// What follows from other keys, where it is said.
void require_sum(const JsonFields& f, std::string_view key, int64_t expected) {
  if (const int64_t found = f.integer_or(key, expected); found != expected)
    throw corrupt(fmt::format("is {}; by the other keys it is {}", found, expected))
        .at(at_key(key));
}

// YaRN's temperature of all of a head's elements, those that are not rotary too.
double scale_of(const RopeConfig& rope, int64_t head_dim) {
  if (rope.scaling != RopeScaling::yarn || rope.mscale_all_dim <= 0) return 0;
  const double t = yarn_temperature(rope.factor, rope.mscale_all_dim);
  return t * t / std::sqrt(static_cast<double>(head_dim));
}

}  // namespace

DecoderConfig read_latent_like(const JsonFields& f, std::string_view model_type, bool neighbours) {
  DecoderConfig c =
      read_llama_like(f, model_type, 10000, {.neighbours = neighbours, .of_own_heads = false});
  LatentConfig& l = c.latent;
  l.kv_rank = size(f, "kv_lora_rank");
  l.q_rank = read_q_rank(f);
  l.own_dim = size(f, "qk_nope_head_dim");
  l.shared_dim = size(f, "qk_rope_head_dim");
  l.value_dim = size(f, "v_head_dim");
  c.head_dim = l.own_dim + l.shared_dim;
  c.rope.begin = l.own_dim;
  c.attention_scale = scale_of(c.rope, c.head_dim);
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  require_sum(f, "qk_head_dim", c.head_dim);
  require_sum(f, "num_key_value_heads", c.heads);
  return c;
}

void write_latent_like(const DecoderConfig& c, JsonWriter& out) {
  write_llama_like(c, out);
  out.field("kv_lora_rank", c.latent.kv_rank).key("q_lora_rank");
  c.latent.q_rank > 0 ? out.value(c.latent.q_rank) : out.null();
  out.field("qk_nope_head_dim", c.latent.own_dim).field("qk_rope_head_dim", c.latent.shared_dim);
  out.field("v_head_dim", c.latent.value_dim).field("attention_bias", c.qkv_bias);
}

DecoderConfig read_latent_mixture(const JsonFields& f, std::string_view model_type, int64_t dense) {
  DecoderConfig c = read_latent_like(f, model_type, f.boolean_or("rope_interleave", true));
  read_deepseek_experts(f, dense, c);
  return c;
}

void write_latent_mixture(const DecoderConfig& c, JsonWriter& out) {
  write_latent_like(c, out);
  out.field("rope_interleave", c.rope.neighbours);
  write_deepseek_experts(c, out);
}

std::string latent_mixture_name(const ParamKey& key) {
  return expert_tensor_name({kLatentNames, kCorrectionNames, kExpertNames, kSharedExpertNames},
                            key);
}

}  // namespace nibble::hf
