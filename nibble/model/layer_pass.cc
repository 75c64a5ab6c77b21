#include "nibble/model/layer_pass.h"

#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/kernels/layer.h"

namespace nibble {
namespace {

// Places in the workspace behind the buffers.
enum Slot { kAngles = kBuffers, kScratch, kProducts, kExperts };

int64_t scratch_floats(const PassSize& size) {
  return ceil_div(attend_scratch_floats(size.head_dim), 16) * 16;
}

const float* or_null(std::span<const float> v) { return v.empty() ? nullptr : v.data(); }

}  // namespace

void PassSize::add(const LayerPlan& plan) {
  for (size_t i = 0; i < kBuffers; ++i) {
    const BufferPlan& b = plan.buffers[i];
    if (!b.within) floats[i] = std::max(floats[i], b.width * b.rows);
  }
  if (plan.attention) head_dim = std::max(head_dim, plan.attention->rule.shape.head_dim);
  if (!plan.experts) return;
  experts = std::max(experts, plan.experts->experts);
  chosen = std::max(chosen, plan.experts->chosen);
  int64_t& gathered = floats[static_cast<size_t>(BufferId::gathered)];
  gathered = std::max(gathered, experts);  // the router's logits stand there first
}

std::array<int64_t, kBuffers + 4> PassSize::bytes(int64_t rows, int threads) const {
  std::array<int64_t, kBuffers + 4> out{};
  for (size_t i = 0; i < kBuffers; ++i) {
    const bool each = rows <= LinearGroup::kOwnRows && i == static_cast<size_t>(BufferId::normed);
    out[i] = rows * floats[i] * (each ? threads : 1);
  }
  out[kAngles] = 2 * rows * (head_dim / 2);
  out[kScratch] = scratch_floats(*this) * threads;
  if (experts > 0) out[kExperts] = ExpertRows::count(rows, experts, chosen);
  for (int64_t& count : out) count *= sizeof(float);
  return out;
}

PassSize pass_size(const DecoderConfig& config) {
  PassSize out;
  for (int i = 0; i < config.layers; ++i) out.add(layer_plan(config, i));
  return out;
}

LayerPass::LayerPass(const DecoderConfig& config, const Rotary& rotary,
                     std::span<const SequenceRows> sequences, int threads, const PassSize& size,
                     int64_t products_bytes, Workspace& workspace)
    : config_(config), rotary_(rotary), sequences_(sequences) {
  for (const SequenceRows& s : sequences) m_ += s.rows;
  own_ = m_ <= LinearGroup::kOwnRows;
  const auto bytes = size.bytes(m_, threads);
  for (size_t i = 0; i < bytes.size(); ++i) workspace.buffers[i].reserve(bytes[i]);
  for (size_t i = 0; i < kBuffers; ++i) buffers_[i] = workspace.buffers[i].as<float>();
  half_ = size.head_dim / 2;
  cos_ = workspace.buffers[kAngles].as<float>();
  sin_ = cos_ + m_ * half_;
  scratch_each_ = scratch_floats(size);
  scratch_ = workspace.buffers[kScratch].as<float>();
  experts_ = {workspace.buffers[kExperts].as<int32_t>(), m_, size.experts, size.chosen};
  products_ = workspace.buffers[kProducts].get<std::byte>(products_bytes);
}

void LayerPass::prepare(const Team& team) const {
  if (config_.position != PositionKind::rotary || half_ == 0) return;
  const auto [begin, end] = team.share(m_);
  int64_t row = 0;
  for (const SequenceRows& s : sequences_) {
    for (int64_t r = 0; r < s.rows; ++r, ++row) {
      if (row >= begin && row < end)
        rotary_.angles(s.start + r, cos_ + row * half_, sin_ + row * half_);
    }
  }
}

void normalize(NormKind kind, double eps, const NormWeights& weights, const float* x, int64_t width,
               float* out) {
  const LayerOps& ops = best_layer_ops();
  const auto apply = kind == NormKind::rms ? ops.rms_norm : ops.layer_norm;
  apply(x, width, or_null(weights.gain), or_null(weights.bias), static_cast<float>(eps), out);
}

LayerPass::View LayerPass::view(const LayerPlan& plan, BufferId id) const {
  const BufferPlan& b = plan.buffer(id);
  if (!b.within) return {buffer(id), b.width};
  return {buffer(*b.within) + b.first, plan.buffer(*b.within).width};
}

float* LayerPass::own_h(const Team& team) const {
  return own_ ? h() + team.rank() * m_ * config_.hidden_size : h();
}

void LayerPass::run(const Layer& layer, Team& team) const {
  run_steps(layer, 0, layer.plan.steps.size(), team);
}

void LayerPass::run_steps(const Layer& layer, size_t first, size_t end, Team& team) const {
  for (size_t i = first; i < end; ++i) {
    const Step& step = layer.plan.steps[i];
    run_step(layer, step, team);
    const bool alone = own_ && step.op == Op::norm && step.out == BufferId::normed;
    if (!alone) team.sync();
  }
}

void LayerPass::run_step(const Layer& layer, const Step& step, Team& team) const {
  switch (step.op) {
    case Op::norm:
      return norm(layer, step, team);
    case Op::project:
      return layer.plan.site(step).experts ? project_experts(layer, step, team)
                                           : project(layer, step, team);
    case Op::attend:
      return attend(layer, team);
    case Op::convolve:
      return convolve(layer, team);
    case Op::route:
      return route(layer, step, team);
    case Op::combine:
      return combine(layer, step, team);
  }
}

void LayerPass::norm(const Layer& layer, const Step& step, const Team& team) const {
  const auto index = static_cast<size_t>(step.index);
  const NormPlan& n = layer.plan.norms[index];
  const bool own = own_ && step.out == BufferId::normed;
  const auto [begin, end] = own ? std::pair<int64_t, int64_t>{0, m_} : team.share(m_);
  const float* const in = buffer(step.in);
  float* const out = own ? own_h(team) : buffer(step.adds ? step.in : step.out);
  for (int64_t r = begin; r < end; ++r) {
    const int64_t at = r * n.width;
    normalize(n.kind, config_.norm_eps, layer.norms[index], in + at, n.width, out + at);
    if (!step.adds) continue;
    float* const sum = buffer(step.out) + at;
    for (int64_t i = 0; i < n.width; ++i) sum[i] += out[at + i];
  }
}

void LayerPass::project(const Layer& layer, const Step& step, Team& team) const {
  const Site& site = layer.plan.site(step);
  float* y[4];
  for (size_t i = 0; i < site.members.size(); ++i) y[i] = buffer(site.members[i].out);
  const float* const x = step.in == BufferId::normed ? own_h(team) : buffer(step.in);
  const LinearOutput out{std::span(y, site.members.size()), step.adds ? y[0] : nullptr, step.end};
  layer.group(static_cast<size_t>(step.index)).forward(x, m_, out, products_, team);
}

}  // namespace nibble
