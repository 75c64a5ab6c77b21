#include "nibble/compress/effect_walk.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "nibble/compress/site_statistics.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/stoppable.h"
#include "nibble/nn/losses.h"
#include "nibble/quant/correction.h"

namespace nibble {
namespace {

using Rows = std::vector<float>;

class EffectWalk {
 public:
  EffectWalk(const Model& model, const std::vector<ParameterPlan>& plans,
             const CalibrationText& text, const EffectOptions& options, const Exec& exec,
             const std::function<void(const GroupInput&, const Effect&)>& f)
      : model_(model),
        config_(model.decoder_config()),
        table_(parameter_table(model.config)),
        text_(text),
        options_(options),
        exec_(exec),
        linear_{.threads = exec.threads},
        f_(f),
        original_([&model](const ParamSpec& spec) { return load_weight(model, spec); }),
        runner_(config_, original_),
        base_(runner_, text.samples, {}, exec) {
    for (const ParameterPlan& p : plans) {
      if (p.scheme) planned_.push_back(p.spec.name);
    }
    const size_t all = text.samples.size();
    NIBBLE_CHECK(options.measured <= all && options.measured > 0);
    calibrating_ = std::max<size_t>(1, all - options.measured);  // the same one where there is one
    head_ = head_of(original_);
  }

  void run() {
    base_.embed();
    for (int i = 0; i < config_.layers; ++i) {
      const Layer layer = runner_.layer(i, linear_);
      for (size_t s = 0; s < layer.plan.sites.size(); ++s) {
        base_.read_input(layer, s);
        hand_over(layer.plan, i, s,
                  [this, i, s](const auto& name, const auto& w) { return effect(i, s, name, w); });
        base_.add_output(layer, s);
      }
    }
    if (config_.tied) return;
    base_.read_head();
    hand_over(head_plan(config_), -1, 0, [this](const std::string& name, const Tensor& w) {
      return divergence(base_, head_of(with(name, w)), base_);
    });
  }

 private:
  WeightLoader with(const std::string& name, const Tensor& weight) const {
    return [this, &name, &weight](const ParamSpec& p) -> Weight {
      return p.name == name ? Weight(weight) : load_weight(model_, p);
    };
  }

  LinearGroup head_of(const WeightLoader& load) const {
    const WeightRelease keep;
    const ParameterFinder find(config_, load, keep);
    std::vector<LinearMember> members;
    if (config_.tied)
      members.push_back({"lm_head (tied)", find.table(Role::token_embedding), std::nullopt});
    else
      members.push_back(find.linear({Role::lm_head}));
    return {std::move(members), linear_};
  }

  void hand_over(const LayerPlan& plan, int layer, size_t index, const Effect& effect) {
    for_each_group(layer, plan, index, [&](const GroupPlace& place) {
      GroupInput out;
      out.layer = layer;
      out.title = place.site().title;
      out.reads = weights_of(table_, place.site(), layer, place.expert);
      out.statistics = site_statistics(place, {calibrating_, base_}, true, exec_);
      f_(out, effect);
    });
  }

  // From the site at hand to the end, beside the original.
  double effect(int layer, size_t site, const std::string& name, const Tensor& weight) {
    SampleStream hat = base_.copy(), base = base_.copy();
    std::map<std::string, Tensor, std::less<>> changed{{name, weight}};
    const WeightLoader load = [&](const ParamSpec& spec) -> Weight {
      const auto found = changed.find(spec.name);
      return found != changed.end() ? Weight(found->second) : load_weight(model_, spec);
    };
    const WeightRelease keep;
    const ParameterFinder find(config_, load, keep);
    bool first = true;
    for (int at = layer; at < config_.layers; ++at) {
      const Layer then = runner_.layer(at, linear_);
      Layer now = build_layer(config_, at, find, linear_);
      for (size_t s = at == layer ? site : 0; s < now.plan.sites.size(); ++s) {
        if (!first) hat.read_input(now, s), base.read_input(then, s);
        base.add_output(then, s);
        for_each_group(at, now.plan, s, [&](const GroupPlace& place) {
          if (!first && options_.corrected) correct(place, hat, base, find, now, changed);
        });
        first = false;
        hat.add_output(now, s);
      }
      changed.clear();
    }
    return divergence(hat, head_, base);
  }

  // Changes a group's weights as a calibrated walk does before it rounds them.
  void correct(const GroupPlace& place, SampleStream& hat, SampleStream& base,
               const ParameterFinder& find, Layer& now,
               std::map<std::string, Tensor, std::less<>>& changed) const {
    std::vector<ParamSpec> group;
    for (const ParamSpec& p : weights_of(table_, place.site(), place.layer, place.expert)) {
      if (std::find(planned_.begin(), planned_.end(), p.name) != planned_.end()) group.push_back(p);
    }
    if (group.empty()) return;
    StatisticsSource source{calibrating_, hat, &base};
    if (corrects_stream(place)) source.bias = find.vector(group[0].with_bias(true));
    const InputStatistics statistics = site_statistics(place, source, true, exec_);
    const Correction correction(statistics, options_.damping, options_.correction, exec_.threads);
    for (const ParamSpec& p : group) {
      const Tensor w = load_weight(model_, p).floats();
      changed[p.name] = Tensor::from<float>(p.shape, correction.apply(w.data<float>(), p.shape[0]));
    }
    now.group(place.index, std::max(place.expert, 0)) =
        build_group(place.site(), place.layer, place.expert, find, linear_);
  }

  // Mean over the positions of the samples that are measured, in their order.
  double divergence(SampleStream& changed, const LinearGroup& head, SampleStream& base) const {
    std::vector<double> sums(options_.measured, 0.0);
    std::vector<int64_t> counts(options_.measured, 0);
    parallel_for(static_cast<int64_t>(options_.measured), exec_, [&](int64_t i) {
      const size_t s = text_.samples.size() - options_.measured + static_cast<size_t>(i);
      const Rows q = logits(head, changed, s), p = logits(head_, base, s);
      const auto vocab = static_cast<size_t>(config_.vocab_size);
      for (size_t at = 0; at < p.size(); at += vocab)
        sums[static_cast<size_t>(i)] +=
            kl_divergence(std::span(p).subspan(at, vocab), std::span(q).subspan(at, vocab));
      counts[static_cast<size_t>(i)] = static_cast<int64_t>(p.size() / vocab);
    });
    double sum = 0;
    int64_t count = 0;
    for (size_t i = 0; i < sums.size(); ++i) {
      sum += sums[i];
      count += counts[i];
    }
    if (!std::isfinite(sum)) {
      refuse_nonfinite_weights(model_);
      throw corrupt("what the model computes on the calibration text is not finite")
          .in_file(model_.path);
    }
    return sum / static_cast<double>(std::max<int64_t>(count, 1));
  }

  Rows logits(const LinearGroup& head, SampleStream& stream, size_t sample) const {
    Rows h;
    stream.with_stream(sample, [&](const Rows& x) { h = x; });
    runner_.final_norm(h);
    const int64_t rows = std::ssize(h) / config_.hidden_size;
    Rows out(static_cast<size_t>(rows * config_.vocab_size));
    head.forward(h, rows, out.data(), exec_.single());
    cap_logits(config_, out);
    return out;
  }

  const Model& model_;
  const DecoderConfig& config_;
  const std::vector<ParamSpec> table_;
  const CalibrationText& text_;
  const EffectOptions options_;
  const Exec& exec_;
  const LinearOptions linear_;
  const std::function<void(const GroupInput&, const Effect&)>& f_;
  const WeightLoader original_;
  const LayerRunner runner_;
  std::vector<std::string> planned_;
  size_t calibrating_ = 0;
  LinearGroup head_;
  SampleStream base_;
};

}  // namespace

void walk_effects(const Model& model, const std::vector<ParameterPlan>& plans,
                  const CalibrationText& text, const EffectOptions& options, const Exec& exec,
                  const std::function<void(const GroupInput&, const Effect&)>& f) {
  EffectWalk(model, plans, text, options, exec, f).run();
}

}  // namespace nibble
