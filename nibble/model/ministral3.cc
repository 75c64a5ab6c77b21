// Ministral 3 (Mistral AI 2025): Mistral with YaRN and queries that grow with their position.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_config.h"

namespace nibble::ministral3 {
namespace {

constexpr std::string_view kBeta = "rope_parameters.llama_4_scaling_beta";

DecoderConfig read_config(const JsonFields& f) {
  const double beta = f.number_or(kBeta, 0);
  // Said once more there.
  f.contains("rope_parameters.max_position_embeddings");
  DecoderConfig c = hf::read_llama_like(f, "ministral3");
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  c.query_beta = beta;
  c.query_every = c.rope.original_context > 0 ? c.rope.original_context : c.context;
  hf::read_window(f, 0, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_llama_like(c, out, false);
  hf::write_rope_parameters(c.rope, {{"llama_4_scaling_beta", c.query_beta}}, out);
  out.key("sliding_window");
  c.sliding_window > 0 ? out.value(c.sliding_window) : out.null();
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kMinistral3{
      "ministral3", read_config, write_config, hf::llama_tensor_name, false, "model.", false, {}};
  return kMinistral3;
}

}  // namespace nibble::ministral3
