// Granite 3 (IBM 2024): Llama with multipliers of embeddings, attention, residuals and logits.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::granite {
namespace {

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "granite");
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.mlp_bias = f.boolean_or("mlp_bias", false);
  hf::read_granite_scales(f, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("attention_bias", c.qkv_bias).field("mlp_bias", c.mlp_bias);
  hf::write_granite_scales(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kGranite{"granite", read_config, write_config, hf::llama_tensor_name,
                                     false,     "model.",    false,        {}};
  return kGranite;
}

}  // namespace nibble::granite
