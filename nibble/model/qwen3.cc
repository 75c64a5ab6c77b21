// Qwen3, dense (Yang et al. 2025): Llama with a head_dim of its own and RMSNorm on the queries and
// keys of every head.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::qwen3 {
namespace {

// transformers' own default; hidden_size / heads is something else in most Qwen3 models.
constexpr int64_t kHeadDim = 128;

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "qwen3");
  c.head_dim = f.integer_or("head_dim", kHeadDim);
  c.qk_norm = QkNorm::heads;
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  hf::read_upper_window(f, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("attention_bias", c.qkv_bias);
  hf::write_upper_window(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const GgufArchitecture kGguf{"qwen3", hf::llama_gguf_keys()};
  static const Architecture kQwen3{"qwen3", read_config, write_config, hf::llama_tensor_name,
                                   false,   "model.",    false,        {},
                                   &kGguf};
  return kQwen3;
}

}  // namespace nibble::qwen3
