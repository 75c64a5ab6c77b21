// The experts of a LayerPass.
#include <algorithm>

#include "nibble/model/layer_pass.h"

namespace nibble {

void LayerPass::find_experts(const LayerPlan& plan) const {
  ExpertRows rows = experts_;
  rows.find(*plan.experts, buffer(BufferId::routing), m_);
}

void LayerPass::route(const Layer& layer, const Step& step, Team& team) const {
  const ExpertPlan& plan = *layer.plan.experts;
  float* const routing = buffer(BufferId::routing);
  float* const logits = buffer(BufferId::gathered);  // free until rows are gathered
  const float* const read =
      plan.router_in == BufferId::normed ? own_h(team) : buffer(plan.router_in);
  layer.router.forward(read, m_, {std::span(&logits, 1)}, products_, team);
  team.sync();
  if (team.rank() == 0) {
    for (int64_t r = 0; r < m_; ++r) {
      float* const row = routing + r * plan.width();
      std::copy_n(logits + r * plan.experts, plan.experts, row);
      choose_experts(plan, {layer.router_correction, layer.expert_scale}, row);
    }
    find_experts(layer.plan);
  }
  team.sync();
  const int64_t width = layer.plan.buffer(step.in).width;
  const auto [begin, end] = team.share(m_ * plan.chosen);
  for (int64_t i = begin; i < end; ++i)
    std::copy_n(own_h(team) + experts_.sources[i] * width, width, buffer(step.out) + i * width);
}

void LayerPass::project_experts(const Layer& layer, const Step& step, Team& team) const {
  const Site& site = layer.plan.site(step);
  for (int64_t e = 0; e < layer.plan.experts->experts; ++e) {
    const int64_t first = experts_.starts[e], rows = experts_.starts[e + 1] - first;
    if (rows == 0) continue;
    float* y[2];
    for (size_t i = 0; i < site.members.size(); ++i)
      y[i] = buffer(site.members[i].out) + first * site.members[i].outputs;
    layer.group(static_cast<size_t>(step.index), e)
        .forward(buffer(step.in) + first * site.inputs, rows,
                 {std::span(y, site.members.size()), nullptr, step.end}, products_, team);
    team.sync();
  }
}

void LayerPass::combine(const Layer& layer, const Step& step, const Team& team) const {
  const ExpertPlan& plan = *layer.plan.experts;
  const int64_t width = layer.plan.buffer(step.in).width;
  const auto [begin, end] = team.share(m_);
  for (int64_t r = begin; r < end; ++r) {
    const float* const weights = expert_weights(plan, buffer(BufferId::routing) + r * plan.width());
    float* const sum = buffer(step.out) + r * width;
    if (!step.adds) std::fill_n(sum, width, 0.0f);
    for (int64_t i = 0; i < plan.chosen; ++i) {
      const float* const of = buffer(step.in) + experts_.places[r * plan.chosen + i] * width;
      for (int64_t c = 0; c < width; ++c) sum[c] += weights[i] * of[c];
    }
  }
}

}  // namespace nibble
