// DeepSeek-V2, V2-Lite and Coder-V2 (DeepSeek-AI 2024): latent attention; experts chosen by
// softmax, in groups or not, whose weights stay as they are.
#include "nibble/model/architecture.h"
#include "nibble/model/hf_experts.h"
#include "nibble/model/hf_latent.h"

namespace nibble::deepseek_v2 {
namespace {

constexpr std::string_view kGreedy = "greedy", kGroups = "group_limited_greedy";

std::string tensor_name(const ParamKey& key) {
  return hf::expert_tensor_name({hf::kLatentNames, hf::kExpertNames, hf::kSharedExpertNames}, key);
}

// Without groups what is said of them counts for nothing.
void read_groups(const JsonFields& f, RouterConfig& router) {
  const std::string method = f.string_or("topk_method", std::string(kGreedy));
  if (method == kGreedy) {
    f.contains("n_group"), f.contains("topk_group");
    return;
  }
  hf::require_text(f, "topk_method", kGroups);
  router.groups = hf::size(f, "n_group");
  router.groups_chosen = hf::size(f, "topk_group");
}

DecoderConfig read_config(const JsonFields& f) {
  hf::require_flag(f, "rope_interleave", true);
  hf::require_flag(f, "mlp_bias", false);
  hf::require_flag(f, "norm_topk_prob", false);
  hf::require_text(f, "scoring_func", "softmax");
  DecoderConfig c = hf::read_latent_like(f, "deepseek_v2", true);
  hf::read_deepseek_mixture(f, {.shared = 2, .dense = 0}, c);
  c.router.normalize = false;
  read_groups(f, c.router);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  hf::write_latent_like(c, out);
  hf::write_deepseek_experts(c, out);
  out.field("topk_method", c.router.groups > 1 ? kGroups : kGreedy);
}

}  // namespace

const Architecture& architecture() {
  static const Architecture kDeepseekV2{
      "deepseek_v2", read_config, write_config, tensor_name,
      false,         "model.",    false,        hf::kExpertTraining};
  return kDeepseekV2;
}

}  // namespace nibble::deepseek_v2
