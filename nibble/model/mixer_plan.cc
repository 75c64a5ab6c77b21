// What moves information between positions: attention of every kind, convolutions, states.
#include "nibble/model/plan_builder.h"

namespace nibble {

void PlanBuilder::mix() {
  if (kind_ == LayerKind::convolution) return convolution();
  if (kind_ == LayerKind::delta) return delta();
  if (kind_ == LayerKind::mamba || kind_ == LayerKind::mamba_beside) mamba();
  if (kind_ == LayerKind::mamba) return;
  attention();
}

// The last projection of the mixer.
void PlanBuilder::give_mixer(BufferId to) {
  Site site{"attention out", {{Role::o, c_.hidden_size, c_.o_bias, to}}, BufferId::mixed, 0};
  if (kind_ == LayerKind::convolution) {
    site.title = "convolution out";
    site.members = {{Role::conv_out, c_.hidden_size, c_.conv_bias, to}};
  } else if (kind_ == LayerKind::delta) {
    site.title = "delta out";
    site.members = {{Role::delta_out, c_.hidden_size, false, to}};
  } else if (kind_ == LayerKind::mamba) {
    return give_mamba(to);
  }
  project(std::move(site));
}

void PlanBuilder::give_mamba(BufferId to) {
  project({"mamba out",
           {{Role::mamba_out, c_.hidden_size, c_.mamba.out_bias, to}},
           BufferId::mamba_mixed,
           0});
}

void PlanBuilder::join_mixer() {
  if (kind_ == LayerKind::mamba_beside) {
    give_mamba(BufferId::mixer_out);
    give_mixer(BufferId::out);
    add(BufferId::mixer_out, BufferId::stream, true, c_.residual_scale * c_.mamba.out_scale);
    return join(BufferId::out, Role::post_attn_norm, c_.attention_out_scale);
  }
  give_mixer(joins_at_once() ? BufferId::stream : BufferId::out);
  if (!joins_at_once()) join(BufferId::out, Role::post_attn_norm);
}

// Queries, keys and values: three matrices, or one whose parts they are.
void PlanBuilder::heads() {
  const int64_t d = kv_.head_dim, q = c_.heads * d, kv = kv_.kv_heads * d;
  const bool bias = c_.qkv_bias, are_keys = c_.values_are_keys && kind_ == LayerKind::full;
  Site site{"attention", {}, BufferId::normed, 0};
  if (c_.fused_qkv) {
    site.members = {{Role::qkv, q + 2 * kv, bias, BufferId::qkv}};
  } else if (c_.attention_gate) {
    site.members = {{Role::q, 2 * q, bias, BufferId::qkv},
                    {Role::k, kv, bias, BufferId::k},
                    {Role::v, kv, bias, BufferId::v}};
  } else {
    site.members = {{Role::q, q, bias, BufferId::q}, {Role::k, kv, bias, BufferId::k}};
    if (!are_keys)
      site.members.push_back({Role::v, kv, bias, c_.v_norm ? BufferId::v_made : BufferId::v});
  }
  project(std::move(site));
  if (c_.v_norm) value_norm(are_keys ? BufferId::k : BufferId::v_made);
  if (c_.attention_gate) {
    view(BufferId::q, q, BufferId::qkv, 0, d, 2 * d);
    view(BufferId::heads_gate, q, BufferId::qkv, d, d, 2 * d);
  } else if (c_.fused_qkv && c_.qkv_by_head) {
    view(BufferId::q, q, BufferId::qkv, 0, d, 3 * d);
    view(BufferId::k, kv, BufferId::qkv, d, d, 3 * d);
    view(BufferId::v, kv, BufferId::qkv, 2 * d, d, 3 * d);
  } else if (c_.fused_qkv) {
    view(BufferId::q, q, BufferId::qkv, 0);
    view(BufferId::k, kv, BufferId::qkv, q);
    view(BufferId::v, kv, BufferId::qkv, q + kv);
  }
}

void PlanBuilder::value_norm(BufferId in) {
  const int index = add_norm(Role::v_norm, NormKind::rms, kv_.head_dim, false, false);
  buffer(BufferId::v, plan_.buffer(in).width);
  plan_.steps.push_back({Op::norm, in, BufferId::v, index});
}

void PlanBuilder::latent_norm(Role role, BufferId in, BufferId out) {
  const int64_t width = plan_.buffer(in).width;
  const int index = add_norm(role, NormKind::rms, width, true, false);
  plan_.norms.back().eps = LatentConfig::kNormEps;
  buffer(out, width);
  plan_.steps.push_back({Op::norm, in, out, index});
}

// Queries, keys and values of what the stream was made small to.
void PlanBuilder::latent_heads() {
  const LatentConfig& l = c_.latent;
  const int64_t q = c_.heads * c_.head_dim, each = l.own_dim + l.value_dim;
  Site site{"attention", {}, BufferId::normed, 0};
  if (l.q_rank > 0)
    site.members = {{Role::q_down, l.q_rank, c_.qkv_bias, BufferId::q_down}};
  else
    site.members = {{Role::q, q, false, BufferId::q}};
  site.members.push_back({Role::kv_down, l.kv_rank + l.shared_dim, c_.qkv_bias, BufferId::kv_down});
  project(std::move(site));
  view(BufferId::kv_part, l.kv_rank, BufferId::kv_down, 0);
  view(BufferId::key_shared, l.shared_dim, BufferId::kv_down, l.kv_rank);
  if (l.q_rank > 0) {
    latent_norm(Role::q_down_norm, BufferId::q_down, BufferId::q_latent);
    project({"queries", {{Role::q_up, q, false, BufferId::q}}, BufferId::q_latent, 0});
  }
  latent_norm(Role::kv_down_norm, BufferId::kv_part, BufferId::kv_latent);
  project({"keys and values",
           {{Role::kv_up, c_.heads * each, false, BufferId::kv}},
           BufferId::kv_latent,
           0});
  view(BufferId::key_own, c_.heads * l.own_dim, BufferId::kv, 0, l.own_dim, each);
  view(BufferId::v, c_.heads * l.value_dim, BufferId::kv, l.own_dim, l.value_dim, each);
  buffer(BufferId::k, q);
  plan_.steps.push_back({Op::keys, BufferId::key_own, BufferId::k});
}

AttentionPlan PlanBuilder::attention_plan() {
  AttentionPlan a;
  a.rule = {{c_.heads, kv_.kv_heads, kv_.head_dim, c_.latent.value_dim},
            kind_ == LayerKind::window ? c_.sliding_window : 0,
            attention_scale(c_),
            static_cast<float>(c_.attention_softcap)};
  a.rope = rope_of(c_, layer_);
  a.query_beta = c_.query_beta;
  a.query_every = c_.query_every;
  a.sinks = c_.attention_sinks;
  if (c_.qk_norm == QkNorm::none) return a;
  a.norm_rows = c_.qk_norm == QkNorm::rows;
  a.norm_turned = c_.qk_norm == QkNorm::turned_heads;
  const int64_t d = kv_.head_dim;
  a.q_norm = add_norm(Role::q_norm, NormKind::rms, a.norm_rows ? c_.heads * d : d, true, false);
  a.k_norm = add_norm(Role::k_norm, NormKind::rms, a.norm_rows ? kv_.kv_heads * d : d, true, false);
  return a;
}

void PlanBuilder::attention() {
  if (kind_ != LayerKind::mamba_beside) c_.latent.kv_rank > 0 ? latent_heads() : heads();
  plan_.attention = attention_plan();
  buffer(BufferId::mixed, c_.heads * plan_.attention->rule.shape.values());
  plan_.steps.push_back({Op::attend, BufferId::q, BufferId::mixed});
  if (c_.attention_gate) plan_.steps.push_back({Op::gate, BufferId::heads_gate, BufferId::mixed});
}

void PlanBuilder::convolution() {
  const int64_t width = c_.hidden_size;
  project({"convolution",
           {{Role::conv_in, 3 * width, c_.conv_bias, BufferId::qkv}},
           BufferId::normed,
           0});
  plan_.convolution = {width, c_.conv_taps, c_.conv_bias};
  buffer(BufferId::mixed, width);
  plan_.steps.push_back({Op::convolve, BufferId::qkv, BufferId::mixed});
}

void PlanBuilder::delta() {
  const DeltaConfig& d = c_.delta;
  Site site{"delta", {}, BufferId::normed, 0};
  if (d.by_head) {
    site.members = {{Role::delta_qkv, d.channels() + d.values(), false, BufferId::qkv},
                    {Role::delta_b, 2 * d.value_heads, false, BufferId::delta_b}};
  } else {
    site.members = {{Role::delta_qkv, d.channels(), false, BufferId::qkv},
                    {Role::delta_z, d.values(), false, BufferId::delta_z},
                    {Role::delta_b, d.value_heads, false, BufferId::delta_b},
                    {Role::delta_a, d.value_heads, false, BufferId::delta_a}};
  }
  project(std::move(site));
  if (d.by_head) {
    view(BufferId::delta_z, d.channels() + d.values(), BufferId::qkv, 0);
    view(BufferId::delta_a, 2 * d.value_heads, BufferId::delta_b, 0);
  }
  plan_.delta = {d, add_norm(Role::delta_norm, NormKind::rms, d.value_dim, true, false)};
  buffer(BufferId::mixed, d.values());
  plan_.steps.push_back({Op::delta, BufferId::qkv, BufferId::mixed});
}

// Attention beside it reads the same rows, which are coded once for both.
void PlanBuilder::mamba() {
  const MambaConfig& m = c_.mamba;
  Site site{
      "mamba", {{Role::mamba_in, m.columns(), m.in_bias, BufferId::mamba_in}}, BufferId::normed, 0};
  if (kind_ == LayerKind::mamba_beside) {
    const int64_t q = c_.heads * kv_.head_dim, kv = kv_.kv_heads * kv_.head_dim;
    site.members.push_back({Role::q, q, c_.qkv_bias, BufferId::q});
    site.members.push_back({Role::k, kv, c_.qkv_bias, BufferId::k});
    site.members.push_back({Role::v, kv, c_.qkv_bias, BufferId::v});
  }
  project(std::move(site));
  view(BufferId::mamba_z, m.width(), BufferId::mamba_in, 0);
  view(BufferId::mamba_xbc, m.channels(), BufferId::mamba_in, m.width());
  view(BufferId::mamba_dt, m.heads, BufferId::mamba_in, m.width() + m.channels());
  plan_.mamba = {m, m.norm == GateNorm::none
                        ? -1
                        : add_norm(Role::mamba_norm, NormKind::rms, m.width(), true, false)};
  buffer(BufferId::mamba_conv, m.channels());
  buffer(BufferId::mamba_mixed, m.width());
  plan_.steps.push_back({Op::mamba_convolve, BufferId::mamba_xbc, BufferId::mamba_conv});
  plan_.steps.push_back({Op::mamba_scan, BufferId::mamba_conv, BufferId::mamba_mixed});
  plan_.steps.push_back({Op::mamba_gate, BufferId::mamba_z, BufferId::mamba_mixed});
}

}  // namespace nibble
