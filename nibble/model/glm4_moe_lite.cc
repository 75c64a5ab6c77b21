// GLM-4.7-Flash (Z.ai 2026): latent attention, and experts as GLM-4.5 has them.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_latent.h"

namespace nibble::glm4_moe_lite {
namespace {

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c = hf::read_latent_mixture(f, "glm4_moe_lite", 1);
  c.norm_eps = hf::positive_or(f, "rms_norm_eps", 1e-5);
  return c;
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kGlm4MoeLite{
      "glm4_moe_lite", read_config, hf::write_latent_mixture, hf::latent_mixture_name, false,
      "model.",        false,       hf::kExpertTraining};
  return kGlm4MoeLite;
}

}  // namespace nibble::glm4_moe_lite
