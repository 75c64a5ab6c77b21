#include "nibble/model/layer_pass.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/kernels/layer.h"
#include "nibble/model/pass_delta.h"
#include "nibble/nn/gate.h"

namespace nibble {
namespace {

// Places in the workspace behind the buffers.
enum Slot : size_t { kAngles = kBuffers, kScratch, kProducts, kExperts, kSlots };
static_assert(kSlots <= std::tuple_size_v<decltype(Workspace::buffers)>);

int64_t scratch_floats(const PassSize& size) {
  const int64_t most =
      std::max(attend_scratch_floats(size.head_dim, size.value_dim), size.delta_floats);
  return ceil_div(most, 16) * 16;
}

const float* or_null(std::span<const float> v) { return v.empty() ? nullptr : v.data(); }

}  // namespace

void PassSize::add(const LayerPlan& plan) {
  for (size_t i = 0; i < kBuffers; ++i) {
    const BufferPlan& b = plan.buffers[i];
    if (!b.within) floats[i] = std::max(floats[i], b.width * b.rows);
  }
  if (plan.attention) {
    head_dim = std::max(head_dim, plan.attention->rule.shape.head_dim);
    value_dim = std::max(value_dim, plan.attention->rule.shape.values());
    ropes = std::max<int64_t>(ropes, plan.attention->rope + 1);
  }
  if (plan.delta) delta_floats = std::max(delta_floats, delta_scratch_floats(*plan.delta));
  if (plan.mamba) delta_floats = std::max(delta_floats, plan.mamba->shape.channels());
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
  out[kAngles] = ropes * 2 * rows * (head_dim / 2);
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

std::vector<Rotary> rotaries(const DecoderConfig& config) {
  std::vector<Rotary> out;
  for (const RopeConfig& r : ropes(config))
    out.emplace_back(r, head_dim_of_rope(config, static_cast<int>(out.size())));
  return out;
}

LayerPass::LayerPass(const DecoderConfig& config, std::span<const Rotary> ropes,
                     std::span<const SequenceRows> sequences, int threads, const PassSize& size,
                     int64_t products_bytes, Workspace& workspace)
    : config_(config), ropes_(ropes.first(static_cast<size_t>(size.ropes))), sequences_(sequences) {
  for (const SequenceRows& s : sequences) m_ += s.rows;
  own_ = m_ <= LinearGroup::kOwnRows;
  const auto bytes = size.bytes(m_, threads);
  for (size_t i = 0; i < bytes.size(); ++i) workspace.buffers[i].reserve(bytes[i]);
  for (size_t i = 0; i < kBuffers; ++i) buffers_[i] = workspace.buffers[i].as<float>();
  half_ = size.head_dim / 2;
  cos_ = workspace.buffers[kAngles].as<float>();
  sin_ = cos_ + size.ropes * m_ * half_;
  scratch_each_ = scratch_floats(size);
  scratch_ = workspace.buffers[kScratch].as<float>();
  experts_ = {workspace.buffers[kExperts].as<int32_t>(), m_, size.experts, size.chosen};
  products_ = workspace.buffers[kProducts].get<std::byte>(products_bytes);
}

void LayerPass::prepare(const Team& team) const {
  if (ropes_.empty()) return;
  const auto [begin, end] = team.share(m_);
  int64_t row = 0;
  for (const SequenceRows& s : sequences_) {
    for (int64_t r = 0; r < s.rows; ++r, ++row) {
      for (size_t i = 0; i < ropes_.size() && row >= begin && row < end; ++i) {
        const int64_t at = (static_cast<int64_t>(i) * m_ + row) * half_;
        ropes_[i].angles(s.start + r, s.cache->capacity(), cos_ + at, sin_ + at);
      }
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
  if (!b.within) return {buffer(id), b.width, b.width, 0};
  return {buffer(*b.within) + b.first, plan.buffer(*b.within).width, b.piece, b.step};
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
    const bool alone = own_ && step.out == BufferId::normed;
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
    case Op::keys:
      return keys(layer, step, team);
    case Op::attend:
      return attend(layer, team);
    case Op::convolve:
      return convolve(layer, team);
    case Op::delta:
      return delta(layer, team);
    case Op::mamba_convolve:
      return mamba_convolve(layer, team);
    case Op::mamba_scan:
      return mamba_scan(layer, team);
    case Op::mamba_gate:
      return mamba_gate(layer, team);
    case Op::activate:
      return activate(layer, step, team);
    case Op::gate:
      return gate(layer, step, team);
    case Op::gate_rows:
      return gate_rows(layer, step, team);
    case Op::add:
      return add(layer, step, team);
    case Op::scale:
      return scale(layer, step, team);
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
  const View in = view(layer.plan, step.in);
  const int64_t width = layer.plan.buffer(step.in).width;
  float* const out = own ? own_h(team) : buffer(step.adds ? step.in : step.out);
  for (int64_t r = begin; r < end; ++r) {
    const int64_t at = r * width;
    for (int64_t c = 0; c < width; c += n.width)
      normalize(n.kind, n.eps, layer.norms[index], in.at(r, c), n.width, out + at + c);
    if (!step.adds) continue;
    float* const sum = buffer(step.out) + at;
    for (int64_t i = 0; i < width; ++i) sum[i] += out[at + i];
  }
}

void LayerPass::scale(const Layer& layer, const Step& step, const Team& team) const {
  const int64_t n = layer.plan.buffer(step.out).width;
  const auto [begin, end] = team.share(m_);
  float* const x = buffer(step.out);
  for (int64_t i = begin * n; i < end * n; ++i) x[i] *= layer.scale[0];
}

void LayerPass::add(const Layer& layer, const Step& step, const Team& team) const {
  const int64_t n = layer.plan.buffer(step.in).width;
  const bool own = own_ && step.out == BufferId::normed;
  const auto [begin, end] = own ? std::pair<int64_t, int64_t>{0, m_} : team.share(m_);
  const float* const in = buffer(step.in);
  float* const out = own ? own_h(team) : buffer(step.out);
  for (int64_t i = begin * n; i < end * n; ++i)
    out[i] = step.adds ? out[i] + step.scale * in[i] : step.scale * in[i];
}

void LayerPass::activate(const Layer& layer, const Step& step, const Team& team) const {
  const int64_t n = layer.plan.buffer(step.out).width;
  const auto [begin, end] = team.share(m_);
  for (int64_t r = begin; r < end; ++r) {
    const bool halves = step.in != BufferId::gate;
    float *const gate = buffer(step.in) + r * (halves ? 2 : 1) * n, *const out =
                                                                        buffer(step.out) + r * n;
    if (halves) std::copy_n(gate + n, n, out);
    for (int64_t i = 0; i < n && step.scale != 1; ++i) gate[i] *= step.scale;
    apply_gate(step.end, gate, n, out);
  }
}

void LayerPass::gate(const Layer& layer, const Step& step, const Team& team) const {
  const View in = view(layer.plan, step.in);
  const int64_t n = layer.plan.buffer(step.out).width;
  const auto [begin, end] = team.share(m_);
  for (int64_t r = begin; r < end; ++r) {
    for (int64_t c = 0; c < n; c += in.piece)
      best_layer_ops().sigmoid_gate(in.at(r, c), in.piece, buffer(step.out) + r * n + c);
  }
}

void LayerPass::gate_rows(const Layer& layer, const Step& step, const Team& team) const {
  const int64_t width = layer.plan.buffer(step.in).width, n = layer.plan.buffer(step.out).width;
  const auto [begin, end] = team.share(m_);
  for (int64_t r = begin; r < end; ++r) {
    const float* const x = own_h(team) + r * width;
    double dot = 0;
    for (int64_t i = 0; i < width; ++i)
      dot += double{x[i]} * layer.row_gate[static_cast<size_t>(i)];
    const auto by = static_cast<float>(1 / (1 + std::exp(-dot)));
    float* const out = buffer(step.out) + r * n;
    for (int64_t i = 0; i < n; ++i) out[i] *= by;
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
