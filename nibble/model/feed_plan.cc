// What each position does by itself: a dense MLP, experts, both.
#include "nibble/core/error.h"
#include "nibble/model/plan_builder.h"

namespace nibble {
namespace {

LinearEnd end_of(MlpKind mlp) {
  switch (mlp) {
    case MlpKind::relu:
      return LinearEnd::relu;
    case MlpKind::relu_squared:
      return LinearEnd::relu_squared;
    case MlpKind::gelu_tanh:
      return LinearEnd::gelu_tanh;
    case MlpKind::gelu:
      return LinearEnd::gelu;
    case MlpKind::silu_gated:
      return LinearEnd::silu_gate;
    case MlpKind::gelu_tanh_gated:
      return LinearEnd::gelu_tanh_gate;
    case MlpKind::clamped_gated:
      return LinearEnd::clamped_gate;
  }
  NIBBLE_CHECK(false && "an activation without a row");
  return LinearEnd::none;
}

}  // namespace

void PlanBuilder::dense() {
  up();
  const bool at_once = joins_at_once() && c_.halves == Halves::in_turn && c_.down_scale == 1;
  const BufferId to = at_once ? BufferId::stream : BufferId::out;
  project({"mlp out", {{Role::down, c_.hidden_size, c_.mlp_bias, to}}, BufferId::up, 0});
  if (!at_once) join(to, Role::post_mlp_norm, c_.down_scale);
}

void PlanBuilder::halves(int64_t width) {
  view(BufferId::gate, width, BufferId::gate_up, 0);
  buffer(BufferId::up, width);
  plan_.steps.push_back({Op::activate, BufferId::gate_up, BufferId::up, -1, end_of(c_.mlp)});
}

// The first projections of the dense MLP.
void PlanBuilder::up() {
  const int64_t width = c_.intermediate_size;
  if (c_.fused_gate_up) {
    project(
        {"mlp", {{Role::gate_up, 2 * width, c_.mlp_bias, BufferId::gate_up}}, BufferId::normed, 0});
    return halves(width);
  }
  Site site{"mlp", {{Role::up, width, c_.mlp_bias, BufferId::up}}, BufferId::normed, 0};
  if (is_gated(c_.mlp))
    site.members.insert(site.members.begin(), {Role::gate, width, c_.mlp_bias, BufferId::gate});
  if (c_.gate_scale == 1) return project(std::move(site), end_of(c_.mlp));
  project(std::move(site));
  plan_.steps.push_back({Op::activate, BufferId::gate, BufferId::up, -1, end_of(c_.mlp), false,
                         static_cast<float>(c_.gate_scale)});
}

// The dense MLP of a layer that has experts as well, and norms of what is read and given.
void PlanBuilder::dense_beside() {
  up();
  project({"mlp out", {{Role::down, c_.hidden_size, c_.mlp_bias, BufferId::out}}, BufferId::up, 0});
  norm(Role::post_dense_norm, BufferId::out, BufferId::shared_out);
  norm(Role::experts_norm, BufferId::stream, BufferId::normed);
}

void PlanBuilder::experts() {
  if (c_.dense_beside) dense_beside();
  if (c_.router.own_norm) norm(Role::router_norm, BufferId::stream, BufferId::router_in);
  const int64_t width = expert_size(c_);
  plan_.experts = {c_.experts, c_.experts_per_token, c_.router,
                   c_.router.own_norm ? BufferId::router_in : BufferId::normed};
  buffer(BufferId::routing, plan_.experts->width());
  buffer(BufferId::gathered, c_.hidden_size, c_.experts_per_token);
  plan_.steps.push_back({Op::route, BufferId::normed, BufferId::gathered});
  Site in{"experts",
          {{Role::up, width, c_.mlp_bias, BufferId::experts_up}},
          BufferId::gathered,
          0,
          true};
  if (is_gated(c_.mlp))
    in.members.insert(in.members.begin(), {Role::gate, width, c_.mlp_bias, BufferId::experts_gate});
  project(std::move(in), end_of(c_.mlp));
  project({"experts out",
           {{Role::down, c_.hidden_size, c_.mlp_bias, BufferId::experts_out}},
           BufferId::experts_up,
           0,
           true});
  // The stream changes only where nothing else than it is left to be read.
  const bool at_once = joins_at_once() && c_.shared_size == 0 && !c_.dense_beside;
  const BufferId to = at_once ? BufferId::stream : BufferId::out;
  if (!at_once) buffer(to, c_.hidden_size);
  plan_.steps.push_back({Op::combine, BufferId::experts_out, to, -1, LinearEnd::none, at_once});
  if (c_.shared_size > 0) shared_expert(to);
  if (c_.dense_beside) {
    norm(Role::post_experts_norm, to, BufferId::shared_out, true);
    return join(BufferId::shared_out, Role::post_mlp_norm);
  }
  if (!at_once) join(to, Role::post_mlp_norm);
}

void PlanBuilder::shared_expert(BufferId to) {
  const int64_t width = c_.shared_size;
  Site in{"shared expert", {}, BufferId::normed, 0};
  if (c_.fused_gate_up) {
    in.members = {{Role::shared_gate_up, 2 * width, c_.mlp_bias, BufferId::gate_up}};
    project(std::move(in));
    halves(width);
  } else {
    if (is_gated(c_.mlp))
      in.members.push_back({Role::shared_gate, width, c_.mlp_bias, BufferId::gate});
    in.members.push_back({Role::shared_up, width, c_.mlp_bias, BufferId::up});
    project(std::move(in), end_of(c_.mlp));
  }
  const BufferId given = BufferId::shared_out;
  project({"shared expert out",
           {{Role::shared_down, c_.hidden_size, c_.mlp_bias, given}},
           BufferId::up,
           0});
  if (c_.shared_gate) {
    plan_.gates_rows = true;
    plan_.steps.push_back({Op::gate_rows, BufferId::normed, given});
  }
  plan_.steps.push_back({Op::add, given, to, -1, LinearEnd::none, true});
}

}  // namespace nibble
