#include "nibble/model/site_input.h"

#include <algorithm>

#include "nibble/core/error.h"

namespace nibble {
namespace {

int64_t floats_of(const LayerPlan& plan, BufferId id) {
  return plan.buffer(id).width * plan.buffer(id).rows;
}

}  // namespace

std::vector<SiteSteps> site_steps(const LayerPlan& plan) {
  std::vector<SiteSteps> out;
  for (size_t s = 0; s < plan.sites.size(); ++s) {
    SiteSteps steps;
    steps.at = step_of(plan, s);
    steps.before = s > 0 && out.back().end == out.back().at;
    steps.begin = s > 0 ? out.back().end : 0;
    const Step& step = plan.steps[steps.at];
    steps.adds = step.adds && step.out == BufferId::stream;
    const size_t next = s + 1 < plan.sites.size() ? step_of(plan, s + 1) : plan.steps.size();
    size_t end = steps.at + 1;
    while (end <= next && !live_before(plan, end).empty()) ++end;
    // Behind the last site the stream alone may be left to be changed (Op::scale).
    if (s + 1 == plan.sites.size()) end = next;
    steps.end = end <= next ? end : steps.at;
    out.push_back(steps);
  }
  return out;
}

int64_t kept_floats(const LayerPlan& plan, size_t site) {
  int64_t sum = 0;
  for (const BufferId id : live_before(plan, step_of(plan, site))) sum += floats_of(plan, id);
  return sum;
}

int64_t most_kept_floats(const DecoderConfig& config) {
  int64_t most = config.hidden_size;  // in front of the head
  for (int layer = 0; layer < config.layers; ++layer) {
    const LayerPlan plan = layer_plan(config, layer);
    for (size_t s = 0; s < plan.sites.size(); ++s) most = std::max(most, kept_floats(plan, s));
  }
  return most;
}

SiteInput::SiteInput(const LayerPlan& plan, size_t site, std::span<const float> kept)
    : site_(plan.sites[site]), kept_(kept), rows_(std::ssize(kept) / kept_floats(plan, site)) {
  if (!site_.experts) return;
  const auto live = live_before(plan, step_of(plan, site));
  size_t at = 0;
  for (const BufferId id : live) {
    if (id == BufferId::routing) break;
    at += static_cast<size_t>(rows_ * floats_of(plan, id));
  }
  const ExpertPlan& e = *plan.experts;
  memory_.resize(static_cast<size_t>(ExpertRows::count(rows_, e.experts, e.chosen)));
  experts_ = {memory_.data(), rows_, e.experts, e.chosen};
  routing_ = kept.data() + at;
  routing_width_ = e.width();
  experts_.find(e, routing_, rows_);
}

float SiteInput::probability(int64_t row, int64_t expert) const {
  NIBBLE_CHECK(routing_ != nullptr);
  return routing_[row * routing_width_ + expert];
}

std::span<const float> SiteInput::of(int64_t expert) const {
  const int64_t first = site_.experts ? experts_.starts[expert] : 0;
  const int64_t end = site_.experts ? experts_.starts[expert + 1] : rows_;
  return kept_.subspan(static_cast<size_t>(first * site_.inputs),
                       static_cast<size_t>((end - first) * site_.inputs));
}

std::span<const float> SiteInput::of_row(int64_t row) const {
  NIBBLE_CHECK(site_.in == BufferId::gathered);
  const int64_t chosen = experts_.places - experts_.sources;  // of all rows
  const int64_t place = experts_.places[row * (chosen / rows_)];
  return kept_.subspan(static_cast<size_t>(place * site_.inputs),
                       static_cast<size_t>(site_.inputs));
}

std::span<const int32_t> SiteInput::sources(int64_t expert) const {
  if (!site_.experts) return {};
  const int32_t first = experts_.starts[expert], end = experts_.starts[expert + 1];
  return {experts_.sources + first, static_cast<size_t>(end - first)};
}

}  // namespace nibble
