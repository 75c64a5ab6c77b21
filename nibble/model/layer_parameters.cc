// What the steps of a layer's plan own.
#include <utility>

#include "nibble/core/error.h"
#include "nibble/model/layer_plan.h"

namespace nibble {
namespace {

// Appends what each step owns.
class Parameters {
 public:
  Parameters(const LayerPlan& plan, int layer) : plan_(plan), layer_(layer) {}

  std::vector<PlannedParameter> list() {
    for (const Step& step : plan_.steps) add(step);
    return std::move(out_);
  }

 private:
  void add(const Step& step) {
    switch (step.op) {
      case Op::norm:
        return norm(step.index);
      case Op::project:
        return site(plan_.sites[static_cast<size_t>(step.index)]);
      case Op::attend:
        return attention(*plan_.attention);
      case Op::convolve: {
        const ConvolutionPlan& c = *plan_.convolution;
        add(Role::conv, -1, false, Shape{c.channels, 1, c.taps});
        if (c.bias) add(Role::conv, -1, true, Shape{c.channels});
        return;
      }
      case Op::delta:
        return delta(*plan_.delta);
      case Op::mamba_convolve: {
        const MambaConfig& m = plan_.mamba->shape;
        add(Role::conv, -1, false, Shape{m.channels(), 1, m.taps});
        if (m.conv_bias) add(Role::conv, -1, true, Shape{m.channels()});
        return;
      }
      case Op::mamba_scan:
        for (const Role role : {Role::delta_decay, Role::delta_decay_bias, Role::mamba_skip})
          add(role, -1, false, Shape{plan_.mamba->shape.heads});
        return;
      case Op::mamba_gate:
        return norm(plan_.mamba->norm);
      case Op::route:
        return router(plan_.buffer(step.in).width);
      case Op::scale:
        return add(Role::layer_scale, -1, false, Shape{1});
      case Op::gate_rows:
        return add(Role::shared_router, -1, false, Shape{1, plan_.buffer(step.in).width});
      case Op::keys:
      case Op::activate:
      case Op::gate:
      case Op::add:
      case Op::combine:
        return;
    }
  }
  void attention(const AttentionPlan& a) {
    norm(a.q_norm);
    norm(a.k_norm);
    if (a.sinks) add(Role::sinks, -1, false, Shape{a.rule.shape.heads});
  }
  void delta(const DeltaPlan& d) {
    add(Role::conv, -1, false, Shape{d.shape.channels(), 1, d.shape.taps});
    add(Role::delta_decay, -1, false, Shape{d.shape.value_heads});
    add(Role::delta_decay_bias, -1, false, Shape{d.shape.value_heads});
    norm(d.norm);
  }
  void router(int64_t width) {
    const ExpertPlan& e = *plan_.experts;
    add(Role::router, -1, false, Shape{e.experts, width});
    if (e.router.bias) add(Role::router, -1, true, Shape{e.experts});
    if (e.router.expert_scale) add(Role::expert_scale, -1, false, Shape{e.experts});
    if (e.router.correction)
      add(Role::router_correction, -1, false,
          e.router.correction_row ? Shape{1, e.experts} : Shape{e.experts});
  }
  void add(Role role, int expert, bool bias, Shape shape) {
    out_.push_back({{role, layer_, expert, bias}, std::move(shape)});
  }
  void norm(int index) {
    if (index < 0) return;
    const NormPlan& n = plan_.norms[static_cast<size_t>(index)];
    if (n.gain) add(n.role, -1, false, Shape{n.width});
    if (n.bias) add(n.role, -1, true, Shape{n.width});
  }
  void site(const Site& s) {
    if (s.experts) {
      // All matrices of an expert together, when their first site comes.
      if (s.in != BufferId::gathered) return;
      for (int e = 0; e < plan_.experts->experts; ++e) {
        for (const Site& each : plan_.sites) {
          if (each.experts) members(each, e);
        }
      }
    } else {
      members(s, -1);
    }
  }
  void members(const Site& s, int expert) {
    for (const SiteMember& m : s.members) {
      add(m.role, expert, false, Shape{m.outputs, s.inputs});
      if (m.bias) add(m.role, expert, true, Shape{m.outputs});
    }
  }

  const LayerPlan& plan_;
  const int layer_;
  std::vector<PlannedParameter> out_;
};

}  // namespace

std::vector<PlannedParameter> parameters_of(const LayerPlan& plan, int layer) {
  return Parameters(plan, layer).list();
}

}  // namespace nibble
