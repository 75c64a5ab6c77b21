// SmolLM3 (Hugging Face 2025): Llama without rotary positions in every fourth layer.
#include <algorithm>

#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::smollm3 {
namespace {

constexpr double kTheta = 2e6;

// 1 where a layer is rotary; by default all but every no_rope_layer_interval-th.
void read_turned(const JsonFields& f, DecoderConfig& c) {
  constexpr std::string_view kInterval = "no_rope_layer_interval";
  const int64_t every = f.contains(kInterval) ? hf::size(f, kInterval) : 4;
  for (const int64_t flag : f.integers("no_rope_layers"))
    c.turned.push_back(static_cast<uint8_t>(flag != 0));
  if (!c.turned.empty()) return;
  for (int64_t i = 0; i < std::min(c.layers, kMostLayers); ++i)
    c.turned.push_back(static_cast<uint8_t>((i + 1) % every != 0));
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "smollm3", kTheta);
  c.tied = f.boolean_or("tie_word_embeddings", true);
  c.qkv_bias = c.o_bias = f.boolean_or("attention_bias", false);
  c.mlp_bias = f.boolean_or("mlp_bias", false);
  read_turned(f, c);
  hf::read_upper_window(f, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("attention_bias", c.qkv_bias).field("mlp_bias", c.mlp_bias);
  out.key("no_rope_layers").begin_array();
  for (const uint8_t flag : c.turned) out.value(int64_t{flag});
  out.end_array();
  hf::write_upper_window(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kSmollm3{"smollm3", read_config, write_config, hf::llama_tensor_name,
                                     false,     "model.",    false,        {}};
  return kSmollm3;
}

}  // namespace nibble::smollm3
