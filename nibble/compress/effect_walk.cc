#include "nibble/compress/effect_walk.h"

#include <algorithm>
#include <map>

#include "nibble/compress/block_steps.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/stoppable.h"
#include "nibble/model/block_walk.h"
#include "nibble/model/decoder_build.h"
#include "nibble/nn/losses.h"
#include "nibble/quant/correction.h"

namespace nibble {
namespace {

using Rows = std::vector<float>;

// One version of the model on its way through the blocks: the residual stream of every sample, and
// what the stage at hand reads.
struct Stream {
  std::vector<Rows> x, input;
};

bool adds(Stage stage) { return stage == Stage::o || stage == Stage::down; }

class EffectWalk {
 public:
  EffectWalk(const ModelFolder& model, const std::vector<ParameterPlan>& plans,
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
        walk_(config_, original_),
        steps_(config_) {
    for (const ParameterPlan& p : plans) {
      if (p.scheme) planned_.push_back(p.spec.name);
    }
    const size_t all = text.samples.size();
    NIBBLE_CHECK(options.measured <= all && options.measured > 0);
    calibrating_ = std::max<size_t>(1, all - options.measured);  // the same one where there is one
    head_ = head_of(original_);
  }

  void run() {
    base_.x.resize(text_.samples.size());
    base_.input.resize(text_.samples.size());
    for_each_sample([this](size_t s) { base_.x[s] = walk_.embed(text_.samples[s]); });
    for (int layer = 0; layer < config_.layers; ++layer) {
      const Block block = walk_.block(layer, linear_);
      for (const Stage stage : kStages) {
        read_input(block, stage, base_);
        hand_over(layer, roles_of(config_, stage),
                  [this, layer, stage](const auto& name, const auto& w) {
                    return effect(layer, stage, name, w);
                  });
        if (adds(stage)) add_output(block, stage, base_);
      }
    }
    if (config_.tied) return;
    for_each_sample([this](size_t s) { base_.input[s] = normed(base_.x[s]); });
    hand_over(-1, {Role::lm_head}, [this](const std::string& name, const Tensor& w) {
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
      members.push_back(find.linear(Role::lm_head, -1));
    return {std::move(members), linear_};
  }

  // f(sample) for every sample, spread over threads.
  void for_each_sample(const std::function<void(size_t)>& f) const {
    parallel_for(static_cast<int64_t>(text_.samples.size()), exec_,
                 [&f](int64_t s) { f(static_cast<size_t>(s)); });
  }

  void read_input(const Block& block, Stage stage, Stream& of) const {
    for_each_sample([&](size_t s) {
      of.input[s] = steps_.input(block, stage, of.x[s], adds(stage) ? of.input[s] : Rows());
    });
  }

  void add_output(const Block& block, Stage stage, Stream& to) const {
    for_each_sample([&](size_t s) { steps_.add_output(block, stage, to.input[s], to.x[s]); });
  }

  void hand_over(int layer, const std::vector<Role>& roles, const Effect& effect) {
    GroupInput out;
    out.layer = layer;
    for (const ParamSpec& p : table_) {
      if (p.layer == layer && !p.bias &&
          std::find(roles.begin(), roles.end(), p.role) != roles.end())
        out.reads.push_back(p);
    }
    const int64_t k = out.reads.at(0).shape[1];
    StatisticsCollector collector(k, {true, false, 0});
    for (size_t s = 0; s < calibrating_; ++s)
      collector.add({base_.input[s], {}, {}}, std::ssize(base_.input[s]) / k, exec_.threads);
    out.statistics = collector.finish(exec_.threads);
    f_(out, effect);
  }

  // From the stage at hand to the end, beside the original.
  double effect(int layer, Stage stage, const std::string& name, const Tensor& weight) const {
    Stream hat = base_, base = base_;
    std::map<std::string, Tensor, std::less<>> changed{{name, weight}};
    const WeightLoader load = [&](const ParamSpec& spec) -> Weight {
      const auto found = changed.find(spec.name);
      return found != changed.end() ? Weight(found->second) : load_weight(model_, spec);
    };
    const WeightRelease keep;
    const ParameterFinder find(config_, load, keep);
    bool first = true;
    for (int at = layer; at < config_.layers; ++at) {
      const Block then = walk_.block(at, linear_);
      Block now = build_block(config_, at, find, linear_);
      for (const Stage next : kStages) {
        if (at == layer && next < stage) continue;
        if (!first) {
          read_input(now, next, hat);
          read_input(then, next, base);
        }
        if (!first && options_.corrected) {
          correct(at, next, hat, base, then, find, changed);
          std::vector<LinearMember> members;
          for (const Role role : roles_of(config_, next)) members.push_back(find.linear(role, at));
          group_of(now, next) = LinearGroup(std::move(members), linear_);
        }
        first = false;
        if (!adds(next)) continue;
        add_output(then, next, base);
        add_output(now, next, hat);
      }
      changed.clear();
    }
    return divergence(hat, head_, base);
  }

  // Changes the group's weights as a calibrated walk does before it rounds them.
  void correct(int layer, Stage stage, const Stream& hat, const Stream& base, const Block& then,
               const ParameterFinder& find,
               std::map<std::string, Tensor, std::less<>>& changed) const {
    std::vector<ParamSpec> group;
    for (const ParamSpec& p : table_) {
      const auto roles = roles_of(config_, stage);
      if (p.layer == layer && !p.bias &&
          std::find(roles.begin(), roles.end(), p.role) != roles.end() &&
          std::find(planned_.begin(), planned_.end(), p.name) != planned_.end())
        group.push_back(p);
    }
    if (group.empty()) return;
    const InputStatistics statistics = adds(stage)
                                           ? towards_target(group[0], stage, hat, base, then,
                                                            find.vector(group[0].role, layer, true))
                                           : towards_inputs(group[0].shape[1], hat, base);
    const Correction correction(statistics, options_.damping, options_.correction, exec_.threads);
    for (const ParamSpec& p : group) {
      Tensor w = std::get<Tensor>(load_weight(model_, p));
      if (w.dtype() != DType::f32) w = convert(w, DType::f32);
      changed[p.name] = Tensor::from<float>(p.shape, correction.apply(w.data<float>(), p.shape[0]));
    }
  }

  InputStatistics towards_inputs(int64_t k, const Stream& hat, const Stream& base) const {
    StatisticsCollector collector(k, {true, true, 0});
    for (size_t s = 0; s < calibrating_; ++s)
      collector.add({hat.input[s], base.input[s], {}}, std::ssize(hat.input[s]) / k, exec_.threads);
    return collector.finish(exec_.threads);
  }

  // Outputs that make the residual stream the original's.
  InputStatistics towards_target(const ParamSpec& p, Stage stage, const Stream& hat,
                                 const Stream& base, const Block& then,
                                 const std::vector<float>& bias) const {
    std::vector<Rows> targets(calibrating_);
    parallel_for(static_cast<int64_t>(calibrating_), exec_, [&](int64_t i) {
      const auto s = static_cast<size_t>(i);
      Rows target = base.x[s];
      steps_.add_output(then, stage, base.input[s], target);
      for (size_t j = 0; j < target.size(); ++j)
        target[j] -= hat.x[s][j] + (bias.empty() ? 0 : bias[j % bias.size()]);
      targets[s] = std::move(target);
    });
    const int64_t k = p.shape[1];
    StatisticsCollector collector(k, {true, false, config_.hidden_size});
    for (size_t s = 0; s < calibrating_; ++s)
      collector.add({hat.input[s], {}, targets[s]}, std::ssize(hat.input[s]) / k, exec_.threads);
    return collector.finish(exec_.threads);
  }

  Rows normed(Rows x) const {
    if (config_.final_norm) walk_.final_norm(x);
    return x;
  }

  // Mean over the positions of the samples that are measured, in their order.
  double divergence(const Stream& changed, const LinearGroup& head, const Stream& base) const {
    std::vector<double> sums(options_.measured, 0.0);
    std::vector<int64_t> counts(options_.measured, 0);
    parallel_for(static_cast<int64_t>(options_.measured), exec_, [&](int64_t i) {
      const size_t s = text_.samples.size() - options_.measured + static_cast<size_t>(i);
      const Rows q = logits(head, changed.x[s]), p = logits(head_, base.x[s]);
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
    return sum / static_cast<double>(std::max<int64_t>(count, 1));
  }

  Rows logits(const LinearGroup& head, const Rows& x) const {
    const Rows h = normed(x);
    const int64_t rows = std::ssize(h) / config_.hidden_size;
    Rows out(static_cast<size_t>(rows * config_.vocab_size));
    head.forward(h, rows, out.data(), exec_.single());
    return out;
  }

  const ModelFolder& model_;
  const DecoderConfig& config_;
  const std::vector<ParamSpec> table_;
  const CalibrationText& text_;
  const EffectOptions options_;
  const Exec& exec_;
  const LinearOptions linear_;
  const std::function<void(const GroupInput&, const Effect&)>& f_;
  const WeightLoader original_;
  const BlockWalk walk_;
  const BlockSteps steps_;
  std::vector<std::string> planned_;
  size_t calibrating_ = 0;
  LinearGroup head_;
  Stream base_;
};

}  // namespace

void walk_effects(const ModelFolder& model, const std::vector<ParameterPlan>& plans,
                  const CalibrationText& text, const EffectOptions& options, const Exec& exec,
                  const std::function<void(const GroupInput&, const Effect&)>& f) {
  EffectWalk(model, plans, text, options, exec, f).run();
}

}  // namespace nibble
