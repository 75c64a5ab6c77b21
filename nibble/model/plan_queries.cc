// What is asked of a layer's plan.
#include <array>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/model/layer_plan.h"

namespace nibble {

Role role_of(const LayerPlan& plan, BufferId id) {
  const BufferId whole = plan.buffer(id).within.value_or(id);
  for (const Site& s : plan.sites) {
    for (const SiteMember& m : s.members) {
      if (m.out == whole) return m.role;
    }
  }
  NIBBLE_CHECK(false && "a buffer that no site fills");
  return {};
}

size_t step_of(const LayerPlan& plan, size_t site) {
  size_t i = 0;
  while (plan.steps[i].op != Op::project || plan.steps[i].index != static_cast<int>(site)) ++i;
  return i;
}

std::vector<BufferId> live_before(const LayerPlan& plan, size_t step) {
  std::vector<BufferId> live;
  std::array<bool, kBuffers> known{};  // made by a step behind `step`, or listed
  known[static_cast<size_t>(BufferId::stream)] = true;
  const auto whole = [&](BufferId id) { return plan.buffer(id).within.value_or(id); };
  const auto make = [&](BufferId id) { known[static_cast<size_t>(whole(id))] = true; };
  const auto read = [&](BufferId id) {
    if (!std::exchange(known[static_cast<size_t>(whole(id))], true)) live.push_back(whole(id));
  };
  for (; step < plan.steps.size(); ++step) {
    const Step& s = plan.steps[step];
    read(s.in);
    if (s.adds || s.op == Op::gate || s.op == Op::gate_rows || s.op == Op::scale) read(s.out);
    if (s.op == Op::keys) read(BufferId::key_shared);
    if (s.op == Op::attend) read(BufferId::k), read(BufferId::v);
    if (s.op == Op::delta)
      read(BufferId::delta_z), read(BufferId::delta_b), read(BufferId::delta_a);
    if (s.op == Op::mamba_scan) read(BufferId::mamba_dt);
    if (s.op == Op::mamba_gate || (s.op == Op::activate && s.in == BufferId::gate)) read(s.out);
    if (s.op == Op::route) read(plan.experts->router_in);
    if (s.op == Op::combine || (s.op == Op::project && plan.site(s).experts))
      read(BufferId::routing);
    make(s.out);
    if (s.op == Op::route) make(BufferId::routing);
    if (s.op != Op::project) continue;
    for (const SiteMember& m : plan.site(s).members) make(m.out);
  }
  return live;
}

std::vector<ParamSpec> weights_of(const std::vector<ParamSpec>& table, const Site& site, int layer,
                                  int expert) {
  std::vector<ParamSpec> out;
  for (const SiteMember& m : site.members) {
    const ParamSpec* p = find_parameter(table, {m.role, layer, expert});
    NIBBLE_CHECK(p != nullptr);
    out.push_back(*p);
  }
  return out;
}

}  // namespace nibble
