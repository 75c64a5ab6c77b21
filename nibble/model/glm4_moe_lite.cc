// GLM-4.7-Flash (Z.ai 2026): latent attention, and experts as GLM-4.5 has them.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"
#include "nibble/model/hf_latent.h"

namespace nibble::glm4_moe_lite {
namespace {

std::string tensor_name(const ParamKey& key) {
  return hf::expert_tensor_name(
      {hf::kLatentNames, hf::kCorrectionNames, hf::kExpertNames, hf::kSharedExpertNames}, key);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_latent_like(f, "glm4_moe_lite", f.boolean_or("rope_interleave", true));
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  hf::read_deepseek_experts(f, 1, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_latent_like(c, out);
  out.field("rope_interleave", c.rope.neighbours);
  hf::write_deepseek_experts(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kGlm4MoeLite{
      "glm4_moe_lite", read_config, write_config, tensor_name,
      false,           "model.",    false,        hf::kExpertTraining};
  return kGlm4MoeLite;
}

}  // namespace nibble::glm4_moe_lite
