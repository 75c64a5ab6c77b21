// DeepSeek-V3 and R1 (DeepSeek-AI 2024), and Kimi K2: latent attention; experts chosen by corrected
// sigmoids, in groups, beside one that every token goes to.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"
#include "nibble/model/hf_latent.h"

namespace nibble::deepseek_v3 {
namespace {

std::string tensor_name(const ParamKey& key) {
  return hf::expert_tensor_name(
      {hf::kLatentNames, hf::kCorrectionNames, hf::kExpertNames, hf::kSharedExpertNames}, key);
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_latent_like(f, "deepseek_v3", f.boolean_or("rope_interleave", true));
  hf::read_deepseek_experts(f, 3, c);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_latent_like(c, out);
  out.field("rope_interleave", c.rope.neighbours);
  hf::write_deepseek_experts(c, out);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kDeepseekV3{
      "deepseek_v3", read_config, write_config, tensor_name,
      false,         "model.",    false,        hf::kExpertTraining};
  return kDeepseekV3;
}

}  // namespace nibble::deepseek_v3
