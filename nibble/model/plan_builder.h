// PlanBuilder: puts a layer's plan together, half by half. For layer_plan() alone.
#pragma once

#include <optional>
#include <utility>

#include "nibble/model/layer_plan.h"

namespace nibble {

class PlanBuilder {
 public:
  PlanBuilder(const DecoderConfig& c, int layer)
      : c_(c),
        layer_(layer),
        kind_(layer_kind(c, layer)),
        kv_(heads_of(c, layer)),
        sparse_(has_experts(c, layer)) {}

  LayerPlan build();

 private:
  void mixer();
  // mixer_plan.cc
  void mix();
  void give_mixer(BufferId to);
  void give_mamba(BufferId to);
  void join_mixer();
  void heads();
  void value_norm(BufferId in);
  void latent_norm(Role role, BufferId in, BufferId out);
  void latent_heads();
  AttentionPlan attention_plan();
  void attention();
  void convolution();
  void delta();
  void mamba();
  // feed_plan.cc
  void dense();
  void halves(int64_t width);
  void up();
  void dense_beside();
  void experts();
  void shared_expert(BufferId to);

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

  const DecoderConfig& c_;
  const int layer_;
  const LayerKind kind_;
  const HeadsConfig kv_;
  const bool sparse_;
  LayerPlan plan_;
};

}  // namespace nibble
