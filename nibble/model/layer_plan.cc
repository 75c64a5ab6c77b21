#include "nibble/model/layer_plan.h"

#include "nibble/model/plan_builder.h"

namespace nibble {

LayerPlan PlanBuilder::build() {
  buffer(BufferId::stream, c_.hidden_size);
  if (kind_ != LayerKind::none) mixer();
  if (!has_feed(c_, layer_)) return std::move(plan_);
  if (c_.halves != Halves::one_norm) read(Role::mlp_norm);
  sparse_ ? experts() : dense();
  if (c_.layer_scale) plan_.steps.push_back({Op::scale, BufferId::stream, BufferId::stream});
  // The stream changes only where nothing else than it is left to be read.
  if (c_.halves != Halves::in_turn) join(BufferId::mixer_out, Role::post_attn_norm);
  return std::move(plan_);
}

void PlanBuilder::mixer() {
  read(Role::attn_norm);
  mix();
  if (c_.halves == Halves::in_turn)
    join_mixer();
  else
    give_mixer(BufferId::mixer_out);
}

LayerPlan layer_plan(const DecoderConfig& config, int layer) {
  return PlanBuilder(config, layer).build();
}

LayerPlan head_plan(const DecoderConfig& c) {
  LayerPlan plan;
  plan.buffers[static_cast<size_t>(BufferId::normed)].width = c.hidden_size;
  plan.buffers[static_cast<size_t>(BufferId::out)].width = c.vocab_size;
  plan.sites.push_back({"lm_head",
                        {{Role::lm_head, c.vocab_size, false, BufferId::out}},
                        BufferId::normed,
                        c.hidden_size});
  plan.steps.push_back({Op::project, BufferId::normed, BufferId::out, 0});
  return plan;
}

}  // namespace nibble
