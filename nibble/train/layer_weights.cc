#include "nibble/train/layer_weights.h"

#include <algorithm>
#include <span>

#include "nibble/core/float_formats.h"
#include "nibble/kernels/onednn/product_bf16.h"

namespace nibble {
namespace {

// Takes the parameters of a layer.
template <class T>
class Loader {
 public:
  Loader(const ParameterFinder& find, bool narrow, const TrainOps<T>& ops, LayerWeights<T>& out)
      : find_(find), narrow_(narrow && has_bf16_products()), ops_(ops), out_(out) {}

  void load(const LayerPlan& stored) {
    for (const NormPlan& n : stored.norms) vector({n.role, out_.layer});
    for (const Site& site : stored.sites) {
      for (int64_t copy = 0; copy < stored.copies(site); ++copy) {
        for (const SiteMember& m : site.members)
          matrix(key_of(site, m, out_.layer, copy), stored, m, narrow_);
      }
    }
    for (const Role role : {Role::conv, Role::delta_decay, Role::delta_decay_bias,
                            Role::router_correction, Role::shared_router, Role::mamba_skip,
                            Role::sinks, Role::expert_scale, Role::layer_scale})
      vector({role, out_.layer});
    if (stored.experts) matrix({Role::router, out_.layer}, stored, {}, false);
  }

 private:
  // With the bias beside it.
  void vector(const ParamKey& key) {
    for (const bool bias : {false, true}) {
      const std::vector<float> values = find_.vector(key.with_bias(bias));
      if (!values.empty()) out_.vectors[key.with_bias(bias)] = buffer_of<T>(values);
    }
  }

  void matrix(const ParamKey& key, const LayerPlan& stored, const SiteMember& member, bool narrow) {
    const LinearMember given = find_.linear(key);
    const std::vector<float> weight = given.weight.values();
    std::vector<float> bias;
    if (given.bias) {
      bias.resize(static_cast<size_t>(given.bias->elements()));
      to_f32(*given.bias, bias);
    }
    find_.done(key);
    const auto part = [&](Role role, int64_t first, int64_t n) {
      const auto of = [&](const std::vector<float>& values, int64_t each) {
        return std::span(values).subspan(static_cast<size_t>(first * each),
                                         static_cast<size_t>(n * each));
      };
      ParamKey own = key;
      own.role = role;
      out_.matrices[own] =
          make_matrix(of(weight, given.weight.columns()),
                      bias.empty() ? std::span<const float>() : of(bias, 1), n, narrow, ops_);
    };
    if (key.role != Role::qkv || !stored.buffer(BufferId::q).is_whole())
      return part(key.role, 0, given.weight.rows());
    for (const auto& [role, id] : {std::pair(Role::q, BufferId::q), std::pair(Role::k, BufferId::k),
                                   std::pair(Role::v, BufferId::v)}) {
      NIBBLE_CHECK(stored.buffer(id).within == member.out);
      part(role, stored.buffer(id).first, stored.buffer(id).width);
    }
  }

  const ParameterFinder& find_;
  const bool narrow_;
  const TrainOps<T>& ops_;
  LayerWeights<T>& out_;
};

}  // namespace

LayerPlan gradient_plan(const DecoderConfig& config, int layer) {
  LayerPlan plan = layer_plan(config, layer);
  for (Site& site : plan.sites) {
    if (site.members.front().role != Role::qkv || !plan.buffer(BufferId::q).is_whole()) continue;
    const bool bias = site.members.front().bias;
    site.members.clear();
    for (const auto& [role, id] : {std::pair(Role::q, BufferId::q), std::pair(Role::k, BufferId::k),
                                   std::pair(Role::v, BufferId::v)}) {
      BufferPlan& b = plan.buffers[static_cast<size_t>(id)];
      b = {b.width, 1, std::nullopt, 0, 0, 0};
      site.members.push_back({role, b.width, bias, id});
    }
    plan.buffers[static_cast<size_t>(BufferId::qkv)] = {};
  }
  return plan;
}

LayerPlan training_plan(const DecoderConfig& config, int layer) {
  LayerPlan split = gradient_plan(config, layer);
  if (!split.attention || split.mamba) return split;
  const AttentionPlan& a = *split.attention;
  const AttentionRule& rule = a.rule;
  if (a.sinks || a.rope >= 0 || a.q_norm >= 0 || a.query_beta != 0 || rule.window > 0 ||
      rule.softcap > 0 || rule.shape.kv_heads != rule.shape.heads || config.attention_gate ||
      config.v_norm || config.qkv_by_head)
    return split;
  DecoderConfig fused = config;
  fused.fused_qkv = true;
  return layer_plan(fused, layer);
}

ParamKey key_of(const Site& site, const SiteMember& member, int layer, int64_t copy) {
  return {member.role, layer, site.experts ? static_cast<int>(copy) : -1};
}

template <class T>
LayerView<T> LayerWeights<T>::view() const {
  return layer_parts<const T>(
      plan, layer, [this](const ParamKey& key) { return matrices.at(key).view(); },
      [this](const ParamKey& key) -> const T* {
        const auto found = vectors.find(key);
        return found == vectors.end() ? nullptr : found->second.data();
      });
}

template <class T>
LayerWeights<T> load_layer_weights(const DecoderConfig& config, const ParameterFinder& find,
                                   int layer, bool narrow, const TrainOps<T>& ops) {
  LayerWeights<T> out{layer, gradient_plan(config, layer), {}, {}};
  Loader<T>(find, narrow, ops, out).load(layer_plan(config, layer));
  return out;
}

template struct LayerWeights<float>;
template struct LayerWeights<double>;
template LayerWeights<float> load_layer_weights(const DecoderConfig&, const ParameterFinder&, int,
                                                bool, const TrainOps<float>&);
template LayerWeights<double> load_layer_weights(const DecoderConfig&, const ParameterFinder&, int,
                                                 bool, const TrainOps<double>&);

}  // namespace nibble
