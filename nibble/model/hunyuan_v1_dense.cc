// Hunyuan, dense (Tencent 2025): Llama with norms of queries and keys behind their rotation, and a
// theta that `alpha` stretches.
#include <fmt/format.h>

#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::hunyuan_v1_dense {
namespace {

constexpr hf::NameRow kNames[] = {{Role::q_norm, "self_attn.query_layernorm"},
                                  {Role::k_norm, "self_attn.key_layernorm"}};

std::string tensor_name(const ParamKey& key) { return hf::tensor_name_or_llama(kNames, key); }

DecoderConfig read_config(const JsonFields& f) {
  hf::require_flag(f, "use_qk_norm", true);
  hf::require_flag(f, "use_cla", false);
  DecoderConfig c = hf::read_llama_like(f, "hunyuan_v1_dense");
  if (f.integer_or("attention_head_dim", c.head_dim) != c.head_dim)
    throw corrupt(fmt::format("and heads of {} contradict each other", c.head_dim))
        .at(hf::at_key("attention_head_dim"));
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.qk_norm = QkNorm::turned_heads;
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("attention_bias", c.qkv_bias);
}

constexpr std::string_view kHarmless[] = {"eod_token_id", "cla_share_factor"};

}  // namespace

const Architecture& architecture() {
  static const Architecture kHunyuanV1Dense{
      "hunyuan_v1_dense", read_config, write_config, tensor_name, false,
      "model.",           false,       kHarmless};
  return kHunyuanV1Dense;
}

}  // namespace nibble::hunyuan_v1_dense
