#include "nibble/model/layer_runner.h"

#include <algorithm>

#include "nibble/core/error.h"

namespace nibble {
namespace {

// What the steps from one on read, in the order in which it is kept: f(pointer, floats).
template <class F>
void for_each_kept(const LayerPass& pass, const LayerPlan& plan, size_t step, F f) {
  for (const BufferId id : live_before(plan, step)) {
    f(pass.buffer(id), pass.rows() * plan.buffer(id).rows * plan.buffer(id).width);
  }
}

void restore(const LayerPass& pass, const LayerPlan& plan, size_t step,
             std::span<const float> kept) {
  for_each_kept(pass, plan, step, [&](float* to, int64_t count) {
    std::copy_n(kept.begin(), count, to);
    kept = kept.subspan(static_cast<size_t>(count));
  });
  NIBBLE_CHECK(kept.empty());
  const std::vector<BufferId> live = live_before(plan, step);
  if (std::find(live.begin(), live.end(), BufferId::routing) != live.end()) pass.find_experts(plan);
}

}  // namespace

LayerRunner::LayerRunner(const DecoderConfig& config, WeightLoader load)
    : config_(config), load_(std::move(load)) {
  validate(config_);
  const WeightRelease keep;
  const ParameterFinder find(config_, load_, keep);
  ends_ = ModelEnds(config_, find, true);
  ropes_ = rotaries(config_);
}

std::vector<float> LayerRunner::embed(std::span<const int32_t> ids) const {
  const auto width = static_cast<size_t>(config_.hidden_size);
  std::vector<float> x(ids.size() * width);
  for (size_t r = 0; r < ids.size(); ++r) {
    const std::span<float> row = std::span(x).subspan(r * width, width);
    ends_.token(ids[r], row);
    ends_.place(config_, static_cast<int64_t>(r), row);
  }
  return x;
}

Layer LayerRunner::layer(int index, const LinearOptions& options) const {
  const WeightRelease keep;
  return build_layer(config_, index, ParameterFinder(config_, load_, keep), options);
}

// Of a layer alone: whoever built it, Layer::place is 0.
std::unique_ptr<LayerRunner::Place> LayerRunner::take(const LayerPlan& plan, int64_t rows) const {
  CacheShape shape;
  add_layer(plan, shape);
  std::unique_ptr<Place> place;
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      place = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (place == nullptr) place = std::make_unique<Place>();
  // One that is too short, or was another layer's, gives way, so that there are never more than
  // threads.
  if (place->cache && place->cache->capacity() >= rows && place->cache->shape() == shape)
    place->cache->clear();
  else
    place->cache.emplace(shape, rows);
  return place;
}

template <class F>
void LayerRunner::pass(const Layer& layer, std::span<const float> x, F f) const {
  const int64_t rows = std::ssize(x) / config_.hidden_size;
  NIBBLE_CHECK(layer.place.attention == 0 && layer.place.state == 0);
  std::unique_ptr<Place> place = take(layer.plan, rows);
  const SequenceRows sequence{&*place->cache, 0, rows};
  PassSize size;
  size.add(layer.plan);
  const LayerPass pass(config_, ropes_, {&sequence, 1}, 1, size, layer.workspace_bytes(rows, 1),
                       place->workspace);
  std::copy(x.begin(), x.end(), pass.x());
  run_team(1, [&](Team& team) {
    pass.prepare(team);
    f(pass, team);
  });
  const std::lock_guard lock(mutex_);
  idle_.push_back(std::move(place));
}

void LayerRunner::run(const Layer& layer, std::span<float> x) const {
  pass(layer, x, [&](const LayerPass& p, Team& team) {
    p.run(layer, team);
    std::copy_n(p.x(), x.size(), x.begin());
  });
}

void LayerRunner::final_norm(std::span<float> x) const {
  for (size_t at = 0; at < x.size(); at += static_cast<size_t>(config_.hidden_size))
    ends_.final_norm(config_, x.data() + at, x.data() + at);
}

std::vector<float> LayerRunner::input(const Layer& layer, size_t site, std::span<const float> x,
                                      std::span<const float> before) const {
  const SiteSteps steps = site_steps(layer.plan)[site];
  std::vector<float> out;
  pass(layer, x, [&](const LayerPass& p, Team& team) {
    if (steps.before) restore(p, layer.plan, steps.begin, before);
    p.run_steps(layer, steps.begin, steps.at, team);
    for_each_kept(p, layer.plan, steps.at, [&](const float* from, int64_t count) {
      out.insert(out.end(), from, from + count);
    });
  });
  return out;
}

void LayerRunner::add_output(const Layer& layer, size_t site, std::span<const float> kept,
                             std::vector<float>& x) const {
  const SiteSteps steps = site_steps(layer.plan)[site];
  if (steps.end == steps.at) return;
  pass(layer, x, [&](const LayerPass& p, Team& team) {
    restore(p, layer.plan, steps.at, kept);
    p.run_steps(layer, steps.at, steps.end, team);
    std::copy_n(p.x(), x.size(), x.begin());
  });
}

}  // namespace nibble
