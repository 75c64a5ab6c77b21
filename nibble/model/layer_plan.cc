#include "nibble/model/layer_plan.h"

#include <utility>

#include "nibble/core/error.h"

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

class Builder {
 public:
  Builder(const DecoderConfig& c, int layer)
      : c_(c),
        layer_(layer),
        kind_(layer_kind(c, layer)),
        kv_(heads_of(c, layer)),
        sparse_(has_experts(c, layer)) {}

  LayerPlan build() {
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

 private:
  void mixer() {
    read(Role::attn_norm);
    mix();
    if (c_.halves == Halves::in_turn)
      join_mixer();
    else
      give_mixer(BufferId::mixer_out);
  }

  void buffer(BufferId id, int64_t width, int64_t rows = 1) {
    plan_.buffers[static_cast<size_t>(id)] = {width, rows, std::nullopt, 0, 0, 0};
  }
  void view(BufferId id, int64_t width, BufferId within, int64_t first) {
    view(id, width, within, first, width, 0);
  }
  void view(BufferId id, int64_t width, BufferId within, int64_t first, int64_t piece,
            int64_t step) {
    plan_.buffers[static_cast<size_t>(id)] = {width, 1, within, first, piece, step};
  }

  int add_norm(Role role, NormKind kind, int64_t width, bool gain, bool bias) {
    plan_.norms.push_back({role, kind, c_.norm_eps, width, gain, bias});
    return static_cast<int>(plan_.norms.size()) - 1;
  }

  void norm(Role role, BufferId in, BufferId out, bool adds = false) {
    const int index = add_norm(role, c_.norm, c_.hidden_size, c_.norm_gain, c_.norm_bias);
    buffer(out, c_.hidden_size);
    plan_.steps.push_back(
        {Op::norm, in, out, index, LinearEnd::none, adds || out == BufferId::stream});
  }

  void add(BufferId in, BufferId out, bool adds, double scale) {
    buffer(out, c_.hidden_size);
    plan_.steps.push_back({Op::add, in, out, -1, LinearEnd::none, adds, static_cast<float>(scale)});
  }

  // What a half of the layer reads: the stream, behind its norm where it has one.
  void read(Role role) {
    if (c_.pre_norms)
      norm(role, BufferId::stream, BufferId::normed);
    else
      add(BufferId::stream, BufferId::normed, false, 1);
  }

  void project(Site site, LinearEnd end = LinearEnd::none) {
    const BufferId in = site.in, out = site.members.back().out;
    site.inputs = plan_.buffer(in).width;
    for (const SiteMember& m : site.members) {
      if (m.out != BufferId::stream)
        buffer(m.out, m.outputs, site.experts ? c_.experts_per_token : 1);
    }
    const auto index = static_cast<int>(plan_.sites.size());
    plan_.sites.push_back(std::move(site));
    plan_.steps.push_back({Op::project, in, out, index, end, out == BufferId::stream});
  }

  // What a half of the layer gives joins the stream: at once, or behind a norm of its own, or
  // scaled.
  bool joins_at_once() const { return !c_.post_norms && c_.residual_scale == 1; }
  void join(BufferId from, Role post_norm, double scale = 1) {
    if (c_.post_norms)
      norm(post_norm, from, BufferId::stream);
    else
      add(from, BufferId::stream, true, c_.residual_scale * scale);
  }

  void mix() {
    if (kind_ == LayerKind::convolution) return convolution();
    if (kind_ == LayerKind::delta) return delta();
    if (kind_ == LayerKind::mamba || kind_ == LayerKind::mamba_beside) mamba();
    if (kind_ == LayerKind::mamba) return;
    attention();
  }

  // The last projection of the mixer.
  void give_mixer(BufferId to) {
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
  void give_mamba(BufferId to) {
    project({"mamba out",
             {{Role::mamba_out, c_.hidden_size, c_.mamba.out_bias, to}},
             BufferId::mamba_mixed,
             0});
  }
  void join_mixer() {
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
  void heads() {
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

  void value_norm(BufferId in) {
    const int index = add_norm(Role::v_norm, NormKind::rms, kv_.head_dim, false, false);
    buffer(BufferId::v, plan_.buffer(in).width);
    plan_.steps.push_back({Op::norm, in, BufferId::v, index});
  }

  void latent_norm(Role role, BufferId in, BufferId out) {
    const int64_t width = plan_.buffer(in).width;
    const int index = add_norm(role, NormKind::rms, width, true, false);
    plan_.norms.back().eps = LatentConfig::kNormEps;
    buffer(out, width);
    plan_.steps.push_back({Op::norm, in, out, index});
  }

  // Queries, keys and values of what the stream was made small to.
  void latent_heads() {
    const LatentConfig& l = c_.latent;
    const int64_t q = c_.heads * c_.head_dim, each = l.own_dim + l.value_dim;
    Site site{"attention", {}, BufferId::normed, 0};
    if (l.q_rank > 0)
      site.members = {{Role::q_down, l.q_rank, c_.qkv_bias, BufferId::q_down}};
    else
      site.members = {{Role::q, q, false, BufferId::q}};
    site.members.push_back(
        {Role::kv_down, l.kv_rank + l.shared_dim, c_.qkv_bias, BufferId::kv_down});
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

  AttentionPlan attention_plan() {
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
    a.k_norm =
        add_norm(Role::k_norm, NormKind::rms, a.norm_rows ? kv_.kv_heads * d : d, true, false);
    return a;
  }

  void attention() {
    if (kind_ != LayerKind::mamba_beside) c_.latent.kv_rank > 0 ? latent_heads() : heads();
    plan_.attention = attention_plan();
    buffer(BufferId::mixed, c_.heads * plan_.attention->rule.shape.values());
    plan_.steps.push_back({Op::attend, BufferId::q, BufferId::mixed});
    if (c_.attention_gate) plan_.steps.push_back({Op::gate, BufferId::heads_gate, BufferId::mixed});
  }

  void convolution() {
    const int64_t width = c_.hidden_size;
    project({"convolution",
             {{Role::conv_in, 3 * width, c_.conv_bias, BufferId::qkv}},
             BufferId::normed,
             0});
    plan_.convolution = {width, c_.conv_taps, c_.conv_bias};
    buffer(BufferId::mixed, width);
    plan_.steps.push_back({Op::convolve, BufferId::qkv, BufferId::mixed});
  }

  void delta() {
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
  void mamba() {
    const MambaConfig& m = c_.mamba;
    Site site{"mamba",
              {{Role::mamba_in, m.columns(), m.in_bias, BufferId::mamba_in}},
              BufferId::normed,
              0};
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

  void dense() {
    up();
    const bool at_once = joins_at_once() && c_.halves == Halves::in_turn && c_.down_scale == 1;
    const BufferId to = at_once ? BufferId::stream : BufferId::out;
    project({"mlp out", {{Role::down, c_.hidden_size, c_.mlp_bias, to}}, BufferId::up, 0});
    if (!at_once) join(to, Role::post_mlp_norm, c_.down_scale);
  }

  void halves(int64_t width) {
    view(BufferId::gate, width, BufferId::gate_up, 0);
    buffer(BufferId::up, width);
    plan_.steps.push_back({Op::activate, BufferId::gate_up, BufferId::up, -1, end_of(c_.mlp)});
  }

  // The first projections of the dense MLP.
  void up() {
    const int64_t width = c_.intermediate_size;
    if (c_.fused_gate_up) {
      project({"mlp",
               {{Role::gate_up, 2 * width, c_.mlp_bias, BufferId::gate_up}},
               BufferId::normed,
               0});
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
  void dense_beside() {
    up();
    project(
        {"mlp out", {{Role::down, c_.hidden_size, c_.mlp_bias, BufferId::out}}, BufferId::up, 0});
    norm(Role::post_dense_norm, BufferId::out, BufferId::shared_out);
    norm(Role::experts_norm, BufferId::stream, BufferId::normed);
  }

  void experts() {
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
      in.members.insert(in.members.begin(),
                        {Role::gate, width, c_.mlp_bias, BufferId::experts_gate});
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

  void shared_expert(BufferId to) {
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

  const DecoderConfig& c_;
  const int layer_;
  const LayerKind kind_;
  const HeadsConfig kv_;
  const bool sparse_;
  LayerPlan plan_;
};

}  // namespace

LayerPlan layer_plan(const DecoderConfig& config, int layer) {
  return Builder(config, layer).build();
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
