#include "nibble/model/layer.h"

#include <algorithm>

#include "nibble/core/error.h"

namespace nibble {

LinearGroup build_group(const Site& site, int layer, int expert, const ParameterFinder& find,
                        const LinearOptions& options) {
  std::vector<LinearMember> members;
  for (const SiteMember& m : site.members) members.push_back(find.linear({m.role, layer, expert}));
  LinearGroup made(std::move(members), options);
  for (const SiteMember& m : site.members) find.done({m.role, layer, expert});
  return made;
}

Layer build_layer(const DecoderConfig& config, int layer, const ParameterFinder& find,
                  const LinearOptions& options) {
  Layer out;
  out.plan = layer_plan(config, layer);
  for (const NormPlan& n : out.plan.norms) {
    const ParamKey key{n.role, layer};
    out.norms.push_back({find.vector(key), find.vector(key.with_bias(true))});
  }
  for (const Site& site : out.plan.sites) {
    std::vector<LinearGroup>& groups = out.groups.emplace_back();
    for (int e = 0; e < out.plan.copies(site); ++e)
      groups.push_back(build_group(site, layer, site.experts ? e : -1, find, options));
  }
  if (out.plan.experts) {
    const ParamKey key{Role::router, layer};
    out.router = LinearGroup({find.linear(key)}, {.threads = options.threads});
    find.done(key);
    out.router_correction = find.vector({Role::router_correction, layer});
    out.expert_scale = find.vector({Role::expert_scale, layer});
  }
  if (out.plan.attention && out.plan.attention->sinks)
    out.sinks = find.vector({Role::sinks, layer});
  out.scale = find.vector({Role::layer_scale, layer});
  if (out.plan.gates_rows) out.row_gate = find.vector({Role::shared_router, layer});
  if (out.plan.mamba) out.skip = find.vector({Role::mamba_skip, layer});
  if (out.plan.delta || out.plan.mamba) {
    out.decay = find.vector({Role::delta_decay, layer});
    out.decay_bias = find.vector({Role::delta_decay_bias, layer});
  }
  if (out.plan.convolution || out.plan.delta || out.plan.mamba) {
    const ParamKey key{Role::conv, layer};
    out.taps = find.vector(key);
    out.taps_bias = find.vector(key.with_bias(true));
  }
  return out;
}

CachePlace add_layer(const LayerPlan& plan, CacheShape& shape) {
  const CachePlace place{std::ssize(shape.attention), shape.state_layers};
  if (plan.attention) shape.attention.push_back(plan.attention->rule.shape);
  if (!plan.convolution && !plan.delta && !plan.mamba) return place;
  shape.state = plan.delta   ? plan.delta->state_floats()
                : plan.mamba ? plan.mamba->state_floats()
                             : plan.convolution->channels * (plan.convolution->taps - 1);
  ++shape.state_layers;
  return place;
}

CacheShape cache_shape(const DecoderConfig& config) {
  CacheShape shape;
  for (int layer = 0; layer < config.layers; ++layer) add_layer(layer_plan(config, layer), shape);
  return shape;
}

void Layer::for_each_group(const std::function<void(const LinearGroup&)>& f) const {
  for (size_t s = 0; s < groups.size(); ++s) {
    if (plan.sites[s].in == BufferId::gathered) f(router);
    for (const LinearGroup& g : groups[s]) f(g);
  }
}

// An expert may get every row.
int64_t Layer::workspace_bytes(int64_t m, int64_t threads) const {
  int64_t most = 0;
  for_each_group(
      [&](const LinearGroup& g) { most = std::max(most, g.workspace_bytes(m, threads)); });
  return most;
}

int64_t Layer::multiplications() const {
  int64_t sum = plan.experts ? router.multiplications() : 0;
  for (size_t s = 0; s < groups.size(); ++s)
    sum += group(s).multiplications() * (plan.sites[s].experts ? plan.experts->chosen : 1);
  return sum;
}

size_t Layer::memory_bytes() const {
  size_t floats = taps.size() + taps_bias.size() + decay.size() + decay_bias.size() +
                  router_correction.size() + row_gate.size() + sinks.size() + expert_scale.size() +
                  scale.size() + skip.size(),
         sum = 0;
  for (const NormWeights& n : norms) floats += n.gain.size() + n.bias.size();
  for_each_group([&](const LinearGroup& g) { sum += g.memory_bytes(); });
  return sum + floats * sizeof(float);
}

size_t Layer::weight_bytes() const {
  size_t sum = plan.experts ? router.weight_bytes() : 0;
  for (size_t s = 0; s < groups.size(); ++s) {
    size_t all = 0;
    for (const LinearGroup& g : groups[s]) all += g.weight_bytes();
    sum += plan.sites[s].experts
               ? all * static_cast<size_t>(plan.experts->chosen) / groups[s].size()
               : all;
  }
  return sum;
}

}  // namespace nibble
