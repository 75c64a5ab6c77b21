#include "nibble/model/layer_plan.h"

#include <utility>

#include "nibble/core/error.h"

namespace nibble {
namespace {

LinearEnd end_of(MlpKind mlp) {
  switch (mlp) {
    case MlpKind::relu:
      return LinearEnd::relu;
    case MlpKind::gelu_tanh:
      return LinearEnd::gelu_tanh;
    case MlpKind::gelu:
      return LinearEnd::gelu;
    case MlpKind::silu_gated:
      return LinearEnd::silu_gate;
    case MlpKind::gelu_tanh_gated:
      return LinearEnd::gelu_tanh_gate;
  }
  NIBBLE_CHECK(false && "an activation without a row");
  return LinearEnd::none;
}

class Builder {
 public:
  Builder(const DecoderConfig& c, int layer) : c_(c), kind_(layer_kind(c, layer)) {}

  LayerPlan build() {
    buffer(BufferId::stream, c_.hidden_size);
    norm(Role::attn_norm, BufferId::stream, BufferId::normed);
    kind_ == LayerKind::convolution ? convolution() : attention();
    norm(Role::mlp_norm, BufferId::stream, BufferId::normed);
    c_.experts > 0 ? experts() : dense();
    return std::move(plan_);
  }

 private:
  void buffer(BufferId id, int64_t width, int64_t rows = 1) {
    plan_.buffers[static_cast<size_t>(id)] = {width, rows, std::nullopt, 0};
  }
  void view(BufferId id, int64_t width, BufferId within, int64_t first) {
    plan_.buffers[static_cast<size_t>(id)] = {width, 1, within, first};
  }

  int add_norm(Role role, NormKind kind, int64_t width, bool gain, bool bias) {
    plan_.norms.push_back({role, kind, width, gain, bias});
    return static_cast<int>(plan_.norms.size()) - 1;
  }

  void norm(Role role, BufferId in, BufferId out) {
    const int index = add_norm(role, c_.norm, c_.hidden_size, c_.norm_gain, c_.norm_bias);
    buffer(out, c_.hidden_size);
    plan_.steps.push_back({Op::norm, in, out, index, LinearEnd::none, out == BufferId::stream});
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

  // What a half of the layer gives joins the stream: at once, or behind a norm of its own.
  void join(std::string_view title, Role role, bool bias, BufferId in, Role post_norm) {
    const BufferId to = c_.post_norms ? BufferId::out : BufferId::stream;
    project({title, {{role, c_.hidden_size, bias, to}}, in, 0});
    if (c_.post_norms) norm(post_norm, BufferId::out, BufferId::stream);
  }

  void attention() {
    const int64_t q = c_.heads * c_.head_dim, kv = c_.kv_heads * c_.head_dim;
    const bool bias = c_.qkv_bias;
    Site site{"attention", {}, BufferId::normed, 0};
    if (c_.fused_qkv) {
      site.members = {{Role::qkv, q + 2 * kv, bias, BufferId::qkv}};
    } else {
      site.members = {{Role::q, q, bias, BufferId::q},
                      {Role::k, kv, bias, BufferId::k},
                      {Role::v, kv, bias, BufferId::v}};
    }
    project(std::move(site));
    if (c_.fused_qkv) {
      view(BufferId::q, q, BufferId::qkv, 0);
      view(BufferId::k, kv, BufferId::qkv, q);
      view(BufferId::v, kv, BufferId::qkv, q + kv);
    }
    AttentionPlan a;
    a.rule = {{c_.heads, c_.kv_heads, c_.head_dim},
              kind_ == LayerKind::window ? c_.sliding_window : 0,
              attention_scale(c_),
              static_cast<float>(c_.attention_softcap)};
    a.rotary = c_.position == PositionKind::rotary;
    if (c_.qk_norm) {
      a.q_norm = add_norm(Role::q_norm, NormKind::rms, c_.head_dim, true, false);
      a.k_norm = add_norm(Role::k_norm, NormKind::rms, c_.head_dim, true, false);
    }
    plan_.attention = a;
    buffer(BufferId::mixed, q);
    plan_.steps.push_back({Op::attend, BufferId::q, BufferId::mixed});
    join("attention out", Role::o, c_.o_bias, BufferId::mixed, Role::post_attn_norm);
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
    join("convolution out", Role::conv_out, c_.conv_bias, BufferId::mixed, Role::post_attn_norm);
  }

  Site up(std::string_view title, BufferId in) const {
    const int64_t width = c_.intermediate_size;
    Site site{title, {{Role::up, width, c_.mlp_bias, BufferId::up}}, in, 0};
    if (is_gated(c_.mlp))
      site.members.insert(site.members.begin(), {Role::gate, width, c_.mlp_bias, BufferId::gate});
    return site;
  }

  void dense() {
    project(up("mlp", BufferId::normed), end_of(c_.mlp));
    join("mlp out", Role::down, c_.mlp_bias, BufferId::up, Role::post_mlp_norm);
  }

  void experts() {
    plan_.experts = {c_.experts, c_.experts_per_token};
    buffer(BufferId::routing, plan_.experts->width());
    buffer(BufferId::gathered, c_.hidden_size, c_.experts_per_token);
    plan_.steps.push_back({Op::route, BufferId::normed, BufferId::gathered});
    Site in = up("experts", BufferId::gathered);
    in.experts = true;
    project(std::move(in), end_of(c_.mlp));
    project({"experts out",
             {{Role::down, c_.hidden_size, c_.mlp_bias, BufferId::out}},
             BufferId::up,
             0,
             true});
    plan_.steps.push_back(
        {Op::combine, BufferId::out, BufferId::stream, -1, LinearEnd::none, true});
  }

  const DecoderConfig& c_;
  const LayerKind kind_;
  LayerPlan plan_;
};

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
        norm(plan_.attention->q_norm);
        return norm(plan_.attention->k_norm);
      case Op::convolve: {
        const ConvolutionPlan& c = *plan_.convolution;
        add(Role::conv, -1, false, Shape{c.channels, 1, c.taps});
        if (c.bias) add(Role::conv, -1, true, Shape{c.channels});
        return;
      }
      case Op::route:
        return add(Role::router, -1, false,
                   Shape{plan_.experts->experts, plan_.buffer(step.in).width});
      case Op::combine:
        return;
    }
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

size_t step_of(const LayerPlan& plan, size_t site) {
  size_t i = 0;
  while (plan.steps[i].op != Op::project || plan.steps[i].index != static_cast<int>(site)) ++i;
  return i;
}

std::vector<BufferId> live_before(const LayerPlan& plan, size_t step) {
  std::vector<BufferId> live;
  std::array<bool, kBuffers> known{};  // made by a step behind `step`, or listed
  known[static_cast<size_t>(BufferId::stream)] = true;
  const auto read = [&](BufferId id) {
    if (!std::exchange(known[static_cast<size_t>(id)], true)) live.push_back(id);
  };
  for (; step < plan.steps.size(); ++step) {
    const Step& s = plan.steps[step];
    read(s.in);
    if (s.op == Op::attend) read(BufferId::k), read(BufferId::v);
    if (s.op == Op::combine || (s.op == Op::project && plan.site(s).experts))
      read(BufferId::routing);
    known[static_cast<size_t>(s.out)] = true;
    if (s.op == Op::route) known[static_cast<size_t>(BufferId::routing)] = true;
    if (s.op != Op::project) continue;
    for (const SiteMember& m : plan.site(s).members) known[static_cast<size_t>(m.out)] = true;
    if (plan.buffer(BufferId::qkv).width == 0) continue;
    for (const BufferId part : {BufferId::q, BufferId::k, BufferId::v})
      known[static_cast<size_t>(part)] = true;
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

std::vector<PlannedParameter> parameters_of(const LayerPlan& plan, int layer) {
  return Parameters(plan, layer).list();
}

}  // namespace nibble
