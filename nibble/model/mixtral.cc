// Mixtral (Jiang et al. 2024): Mistral whose MLP is a mixture of experts, of which each token
// uses a few.
#include "nibble/format/gguf_write.h"
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::mixtral {
namespace {

constexpr hf::NameRow kExperts[] = {{Role::router, "block_sparse_moe.gate"},
                                    {Role::gate, "block_sparse_moe.experts.{}.w1"},
                                    {Role::up, "block_sparse_moe.experts.{}.w3"},
                                    {Role::down, "block_sparse_moe.experts.{}.w2"}};

// What only training does.
constexpr std::string_view kHarmless[] = {"output_router_logits", "router_aux_loss_coef",
                                          "router_jitter_noise"};

std::string tensor_name(const ParamKey& key) {
  return key.role == Role::router || key.expert >= 0 ? hf::tensor_name(kExperts, "layers", key)
                                                     : hf::llama_tensor_name(key);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "mixtral");
  c.experts = hf::size(f, "num_local_experts");
  c.experts_per_token = hf::size(f, "num_experts_per_tok");
  hf::read_window(f, 0, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("num_local_experts", c.experts);
  out.field("num_experts_per_tok", c.experts_per_token);
  out.key("sliding_window");
  c.sliding_window > 0 ? out.value(c.sliding_window) : out.null();
}

bool has_experts(const GgufMetadata& metadata) {
  return metadata.integer_if("llama.expert_count").value_or(0) > 0;
}

void read_more(const GgufMetadata& metadata, JsonWriter& out) {
  out.field("num_local_experts", metadata.integer("llama.expert_count"));
  out.field("num_experts_per_tok", metadata.integer("llama.expert_used_count"));
}

void write_more(const DecoderConfig& c, GgufWriter& out) {
  out.add_u32("llama.expert_count", c.experts);
  out.add_u32("llama.expert_used_count", c.experts_per_token);
}

}  // namespace

const Architecture& architecture() {
  static const GgufArchitecture kGguf{
      "llama", hf::llama_gguf_keys(), true, has_experts, read_more, write_more, hf::has_one_window};
  static const Architecture kMixtral{"mixtral", read_config, write_config, tensor_name, false,
                                     "model.",  false,       kHarmless,    &kGguf};
  return kMixtral;
}

}  // namespace nibble::mixtral
