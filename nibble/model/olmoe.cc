// OLMoE (Muennighoff et al. 2024): a mixture of small experts, norms of all of a row's queries and
// keys.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"

namespace nibble::olmoe {
namespace {

std::string tensor_name(const ParamKey& key) {
  return hf::expert_tensor_name({hf::kExpertNames}, key);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "olmoe");
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  c.qk_norm = QkNorm::rows;
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.experts = hf::experts(f);
  c.experts_per_token = hf::size(f, "num_experts_per_tok");
  c.router.normalize = f.boolean_or("norm_topk_prob", false);
  if (!f.contains("clip_qkv") || f.is_null("clip_qkv")) return c;
  throw unsupported("clipping of queries, keys and values cannot be run").at("key \"clip_qkv\"");
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("attention_bias", c.qkv_bias);
  out.field("num_experts", c.experts);
  out.field("num_experts_per_tok", c.experts_per_token);
  out.field("norm_topk_prob", c.router.normalize);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kOlmoe{"olmoe", read_config, write_config, tensor_name,
                                   false,   "model.",    false,        hf::kExpertTraining};
  return kOlmoe;
}

}  // namespace nibble::olmoe
