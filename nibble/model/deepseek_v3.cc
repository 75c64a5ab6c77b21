// DeepSeek-V3 and R1 (DeepSeek-AI 2024), and Kimi K2: latent attention; experts chosen by corrected
// sigmoids, in groups, beside one that every token goes to.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_latent.h"

namespace nibble::deepseek_v3 {
namespace {

DecoderConfig read_config(const JsonFields& f) {
  return hf::read_latent_mixture(f, "deepseek_v3", 3);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kDeepseekV3{
      "deepseek_v3", read_config, hf::write_latent_mixture, hf::latent_mixture_name, false,
      "model.",      false,       hf::kExpertTraining};
  return kDeepseekV3;
}

}  // namespace nibble::deepseek_v3
