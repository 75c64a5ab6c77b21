// Llama 1 to 3 (Touvron et al. 2023; Grattafiori et al. 2024), and what shares its model_type:
// TinyLlama, SmolLM, llama2.c.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::llama {
namespace {

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "llama");
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.mlp_bias = f.boolean_or("mlp_bias", false);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("attention_bias", c.qkv_bias);
  out.field("mlp_bias", c.mlp_bias);
}

// Llama's name in GGUF is Mistral's and Mixtral's as well.
bool is_plain(const GgufMetadata& metadata) {
  return metadata.integer_if("llama.expert_count").value_or(0) == 0 &&
         !metadata.contains("llama.attention.sliding_window");
}

}  // namespace

const Architecture& architecture() {
  static const GgufArchitecture kGguf{"llama", hf::llama_gguf_keys(), true, is_plain};
  static const Architecture kLlama{"llama", read_config, write_config, hf::llama_tensor_name,
                                   false,   "model.",    false,        {},
                                   &kGguf};
  return kLlama;
}

}  // namespace nibble::llama
