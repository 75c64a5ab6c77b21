#include "nibble/model/fold_sites.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/model/layer_plan.h"

namespace nibble {
namespace {

class Sites {
 public:
  explicit Sites(const DecoderConfig& c) : c_(c), table_(parameter_table(c)) {}

  std::vector<FoldSite> build() {
    for (layer_ = 0; layer_ < c_.layers; ++layer_) {
      plan_ = layer_plan(c_, layer_);
      for (size_t s = 0; s < plan_.sites.size(); ++s) site(s);
    }
    layer_ = -1;
    if (!c_.tied) behind_norm(add({Role::lm_head}), {Role::final_norm});
    return std::move(sites_);
  }

 private:
  std::string name(const ParamKey& key) const {
    const ParamSpec* p = find_parameter(table_, key);
    return p == nullptr ? std::string() : p->name;
  }

  FoldSite& add(const ParamKey& first) {
    sites_.emplace_back();
    sites_.back().key = first;
    consume(sites_.back(), first);
    return sites_.back();
  }

  void consume(FoldSite& site, const ParamKey& key) const {
    const ParamSpec* p = find_parameter(table_, key);
    NIBBLE_CHECK(p != nullptr);
    site.consumers.push_back(p->name);
    site.k = site.block = p->shape[1];
  }

  // Experts read what one norm makes, all of them and their router, or what their own up makes. An
  // expert that every row goes to reads that norm as well.
  void site(size_t index) {
    const Site& s = plan_.sites[index];
    const Role reads = s.members.back().role;
    if (reads == Role::shared_up || reads == Role::shared_gate_up) {
      for (const SiteMember& m : s.members) consume(sites_[experts_], {m.role, layer_});
      if (plan_.gates_rows) consume(sites_[experts_], {Role::shared_router, layer_});
      return;
    }
    const bool gathered = s.in == BufferId::gathered;
    for (int e = 0; e < plan_.copies(s); ++e) {
      const int expert = s.experts ? e : -1;
      const bool joins = gathered && e > 0;
      FoldSite& fold = joins ? sites_.back() : add({s.members[0].role, layer_, expert});
      for (size_t m = joins ? 0 : 1; m < s.members.size(); ++m)
        consume(fold, {s.members[m].role, layer_, expert});
      if (!gathered) produce(fold, maker(step_of(plan_, index), s.in), expert);
    }
    if (!gathered) return;
    experts_ = sites_.size() - 1;
    FoldSite& fold = sites_.back();
    if (plan_.experts->router_in == plan_.steps[maker(step_of(plan_, index), s.in)].in)
      consume(fold, {Role::router, layer_});
    const size_t route = maker(step_of(plan_, index), s.in);
    produce(fold, maker(route, plan_.steps[route].in), -1);
  }

  // The last step before `step` that writes a buffer.
  size_t maker(size_t step, BufferId id) const {
    while (step-- > 0) {
      const Op op = plan_.steps[step].op;
      if (plan_.steps[step].out == id && op != Op::gate && op != Op::gate_rows) return step;
    }
    NIBBLE_CHECK(false && "a buffer that nothing fills");
    return 0;
  }

  void produce(FoldSite& fold, size_t step, int expert) const {
    const Step& s = plan_.steps[step];
    switch (s.op) {
      case Op::norm:
        return behind_norm(fold, {plan_.norms[static_cast<size_t>(s.index)].role, layer_});
      case Op::attend:
        return behind_attention(fold);
      case Op::convolve:
        rows_of(fold, {Role::conv_in, layer_});
        fold.first_row = plan_.convolution->channels;
        return;
      case Op::delta:
        fold.refusal = "a norm of each head stands before it";
        return;
      case Op::mamba_gate:
        fold.refusal = plan_.mamba->norm < 0 ? "states of heads stand before it"
                                             : "a norm of heads stands before it";
        return;
      case Op::add:
        fold.refusal = "nothing stands before it";
        return;
      case Op::scale:
      case Op::activate:
        if (s.in == BufferId::gate) return rows_of(fold, {role_of(plan_, s.out), layer_});
        rows_of(fold, {role_of(plan_, s.in), layer_});
        fold.first_row = plan_.buffer(s.out).width;
        return;
      case Op::gate:
      case Op::gate_rows:
        NIBBLE_CHECK(false && "they change what others made");
        return;
      case Op::project:
        return behind_activation(fold, s, expert);
      case Op::keys:
      case Op::mamba_convolve:
      case Op::mamba_scan:
      case Op::route:
      case Op::combine:
        NIBBLE_CHECK(false && "no site reads what they make");
    }
  }

  void behind_norm(FoldSite& fold, const ParamKey& norm) const {
    fold.weight = name(norm);
    fold.bias = name(norm.with_bias(true));
    if (fold.weight.empty())
      fold.refusal = "the norm before it has no gain";
    else if (norm.layer >= 0 && c_.halves == Halves::one_norm)
      fold.refusal = "both halves of the layer read the norm before it";
    else
      fold.producer = Producer::norm;
  }

  void rows_of(FoldSite& fold, const ParamKey& key) const {
    fold.producer = Producer::rows;
    fold.weight = name(key);
    fold.bias = name(key.with_bias(true));
  }

  void behind_attention(FoldSite& fold) const {
    const AttentionShape& shape = plan_.attention->rule.shape;
    const bool normed = std::any_of(plan_.steps.begin(), plan_.steps.end(), [](const Step& s) {
      return s.op == Op::norm && s.out == BufferId::v;
    });
    if (normed) {
      fold.refusal = "a norm of each head's values stands before it";
      return;
    }
    const BufferPlan& v = plan_.buffer(BufferId::v);
    rows_of(fold, {role_of(plan_, BufferId::v), layer_});
    fold.first_row = v.first;
    if (!v.is_whole()) fold.piece = v.piece, fold.step = v.step;
    fold.block = shape.values();
    fold.repeat = shape.shared();
  }

  void behind_activation(FoldSite& fold, const Step& s, int expert) const {
    if (s.end == LinearEnd::clamped_gate)
      fold.refusal = "what is clamped does not commute with a scale";
    else if (is_gate(s.end) || s.end == LinearEnd::relu)
      rows_of(fold, {plan_.site(s).members.back().role, layer_, expert});
    else if (s.end == LinearEnd::relu_squared)
      fold.refusal = "a squared ReLU does not commute with a scale";
    else
      fold.refusal = "GELU does not commute with a scale";
  }

  const DecoderConfig& c_;
  const std::vector<ParamSpec> table_;
  int layer_ = 0;
  size_t experts_ = 0;  // the site of the layer's experts, in sites_
  LayerPlan plan_;
  std::vector<FoldSite> sites_;
};

}  // namespace

std::vector<FoldSite> fold_sites(const DecoderConfig& config) { return Sites(config).build(); }

void tie_scales(const FoldSite& site, std::span<float> scales) {
  NIBBLE_CHECK(static_cast<int64_t>(scales.size()) == site.k);
  if (site.repeat == 1) return;
  std::vector<double> logarithm(static_cast<size_t>(site.channels()));
  for (int64_t i = 0; i < site.k; ++i)
    logarithm[static_cast<size_t>(site.channel_of(i))] +=
        std::log(scales[static_cast<size_t>(i)]) / static_cast<double>(site.repeat);
  for (int64_t i = 0; i < site.k; ++i)
    scales[static_cast<size_t>(i)] =
        static_cast<float>(std::exp(logarithm[static_cast<size_t>(site.channel_of(i))]));
}

}  // namespace nibble
