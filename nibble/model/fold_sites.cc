#include "nibble/model/fold_sites.h"

#include <cmath>

#include "nibble/core/error.h"

namespace nibble {
namespace {

class Sites {
 public:
  explicit Sites(const DecoderConfig& c) : c_(c), table_(parameter_table(c)) {}

  std::vector<FoldSite> build() {
    const bool gated = c_.mlp == MlpKind::silu_gated;
    for (int layer = 0; layer < c_.layers; ++layer) {
      const auto qkv =
          c_.fused_qkv ? std::vector{Role::qkv} : std::vector{Role::q, Role::k, Role::v};
      const auto up = gated ? std::vector{Role::gate, Role::up} : std::vector{Role::up};
      behind_norm(Role::attn_norm, layer, layer, qkv);
      attention_output(layer);
      behind_norm(Role::mlp_norm, layer, layer, up);
      mlp_output(layer);
    }
    if (!c_.tied) behind_norm(Role::final_norm, -1, -1, {Role::lm_head});
    return std::move(sites_);
  }

 private:
  const ParamSpec* find(Role role, int layer, bool bias) const {
    for (const ParamSpec& p : table_) {
      if (p.role == role && p.layer == layer && p.bias == bias) return &p;
    }
    return nullptr;
  }
  std::string name(Role role, int layer, bool bias) const {
    const ParamSpec* p = find(role, layer, bias);
    return p == nullptr ? std::string() : p->name;
  }

  FoldSite& add(int layer, const std::vector<Role>& consumers) {
    FoldSite site;
    site.role = consumers[0];
    site.layer = layer;
    for (const Role role : consumers) {
      const ParamSpec* p = find(role, layer, false);
      NIBBLE_CHECK(p != nullptr);
      site.consumers.push_back(p->name);
      site.k = p->shape[1];
    }
    sites_.push_back(std::move(site));
    return sites_.back();
  }

  void behind_norm(Role norm, int norm_layer, int layer, const std::vector<Role>& consumers) {
    FoldSite& site = add(layer, consumers);
    site.weight = name(norm, norm_layer, false);
    site.bias = name(norm, norm_layer, true);
    site.block = site.k;
    if (site.weight.empty())
      site.refusal = "the norm before it has no gain";
    else
      site.producer = Producer::norm;
  }

  void rows_of(FoldSite& site, Role role, int layer) {
    site.producer = Producer::rows;
    site.weight = name(role, layer, false);
    site.bias = name(role, layer, true);
  }

  void attention_output(int layer) {
    FoldSite& site = add(layer, {Role::o});
    rows_of(site, c_.fused_qkv ? Role::qkv : Role::v, layer);
    if (c_.fused_qkv) site.first_row = (c_.heads + c_.kv_heads) * c_.head_dim;
    site.block = c_.head_dim;
    site.repeat = c_.heads / c_.kv_heads;
  }

  void mlp_output(int layer) {
    FoldSite& site = add(layer, {Role::down});
    site.block = site.k;
    if (c_.mlp == MlpKind::silu_gated || c_.mlp == MlpKind::relu)
      rows_of(site, Role::up, layer);
    else
      site.refusal = "GELU does not commute with a scale";
  }

  const DecoderConfig& c_;
  const std::vector<ParamSpec> table_;
  std::vector<FoldSite> sites_;
};

}  // namespace

std::vector<FoldSite> fold_sites(const DecoderConfig& config) { return Sites(config).build(); }

void tie_scales(const FoldSite& site, std::span<float> scales) {
  NIBBLE_CHECK(static_cast<int64_t>(scales.size()) == site.k);
  if (site.repeat == 1) return;
  std::vector<double> logarithm(static_cast<size_t>(site.channels()));
  for (int64_t i = 0; i < site.k; ++i)
    logarithm[static_cast<size_t>(site.channel_of(i))] +=
        std::log(scales[static_cast<size_t>(i)]) / static_cast<double>(site.repeat);
  for (int64_t i = 0; i < site.k; ++i)
    scales[static_cast<size_t>(i)] =
        static_cast<float>(std::exp(logarithm[static_cast<size_t>(site.channel_of(i))]));
}

}  // namespace nibble
