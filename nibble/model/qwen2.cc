// Qwen2 and Qwen2.5 (Yang et al. 2024): Llama with biases on q, k and v, and a sliding window for
// the upper layers where it is switched on.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::qwen2 {
namespace {

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "qwen2");
  c.qkv_bias = true;
  hf::read_upper_window(f, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  hf::write_upper_window(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const GgufArchitecture kGguf{"qwen2", hf::llama_gguf_keys()};
  static const Architecture kQwen2{"qwen2", read_config, write_config, hf::llama_tensor_name,
                                   false,   "model.",    false,        {},
                                   &kGguf};
  return kQwen2;
}

}  // namespace nibble::qwen2
