// Phi-3, 3.5 and Phi-4-mini (Abdin et al. 2024): Llama with fused matrices, LongRoPE, and in some
// models windows or heads of which only a part is rotary.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::phi3 {
namespace {

constexpr hf::NameRow kNames[] = {{Role::qkv, "self_attn.qkv_proj"},
                                  {Role::gate_up, "mlp.gate_up_proj"}};

std::string tensor_name(const ParamKey& key) { return hf::tensor_name_or_llama(kNames, key); }

constexpr std::string_view kHarmless[] = {"original_max_position_embeddings"};

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "phi3", 10000, {.parts = true});
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  c.fused_qkv = c.fused_gate_up = true;
  hf::read_window(f, 0, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  if (c.rope.original_context > 0)
    out.field("original_max_position_embeddings", c.rope.original_context);
  out.key("sliding_window");
  c.sliding_window > 0 ? out.value(c.sliding_window) : out.null();
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kPhi3{"phi3", read_config, write_config, tensor_name,
                                  false,  "model.",    false,        kHarmless};
  return kPhi3;
}

}  // namespace nibble::phi3
