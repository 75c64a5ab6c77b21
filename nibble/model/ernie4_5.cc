// ERNIE 4.5, dense (Baidu 2025): Llama whose rotary pairs are neighbours.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::ernie4_5 {
namespace {

constexpr double kTheta = 500000;
constexpr int64_t kHeadDim = 128;

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_llama_like(f, "ernie4_5", kTheta, {.neighbours = true});
  c.head_dim = f.contains("head_dim") ? c.head_dim : kHeadDim;
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  c.tied = f.boolean_or("tie_word_embeddings", true);
  c.qkv_bias = c.o_bias = c.mlp_bias = f.boolean_or("use_bias", false);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out);
  out.field("use_bias", c.qkv_bias);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kErnie45{"ernie4_5", read_config, write_config, hf::llama_tensor_name,
                                     false,      "model.",    false,        {}};
  return kErnie45;
}

}  // namespace nibble::ernie4_5
