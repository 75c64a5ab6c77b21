#include "nibble/compress/calibrated_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/compress/block_steps.h"
#include "nibble/compress/sample_rows.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/stoppable.h"
#include "nibble/model/block_walk.h"
#include "nibble/model/decoder_build.h"
#include "nibble/quant/correction.h"

namespace nibble {
namespace {

using Rows = std::vector<float>;

// One version of the model on its way through the blocks: the residual stream of every sample, and
// what the last stage read.
struct Stream {
  SampleRows x, input;
};

int64_t longest(const CalibrationText& text) {
  size_t most = 0;
  for (const auto& s : text.samples) most = std::max(most, s.size());
  return static_cast<int64_t>(most);
}

// Schemes of more bits err so little that rounding products to bf16 would show: forced on
// llama-shakespeare, gptq's KL rose from 3.3e-5 to 4.0e-5 in int8, and not at all in int4:g32.
constexpr int kBf16Bits = 5;

int coarsest_bits(const std::vector<ParameterPlan>& plans) {
  int least = 32;
  for (const ParameterPlan& p : plans) {
    if (p.scheme) least = std::min(least, p.scheme->bits());
  }
  return least;
}

class Walk {
 public:
  Walk(const ModelFolder& model, const std::vector<ParameterPlan>& plans,
       const QuantizeOptions& options, const CalibrationText& text, const OutputMetrics& metrics,
       LayerStore& store, const Exec& exec)
      : model_(model),
        config_(model.decoder_config()),
        options_(options),
        method_(method(options.method)),
        text_(text),
        metrics_(metrics),
        store_(store),
        exec_(exec),
        original_([&model](const ParamSpec& spec) { return load_weight(model, spec); }),
        original_walk_(config_, original_),
        steps_(config_),
        products_{.bf16_products = walks_in_bf16(config_, plans, options), .threads = exec.threads},
        dual_(options.inputs == CalibrationInputs::corrected),
        hat_(stream(true)),
        base_(stream(dual_)) {
    for (const ParameterPlan& p : plans) {
      by_name_[p.spec.name] = &p;
      total_ += p.scheme && (p.spec.layer >= 0 || p.spec.role == Role::lm_head) ? 1 : 0;
    }
    load_ = [this](const ParamSpec& spec) -> Weight {
      const auto done = done_.find(spec.name);
      return done != done_.end() ? Weight(done->second) : load_weight(model_, spec);
    };
  }

  void run() {
    for_each_sample([this](size_t s) {
      Rows x = original_walk_.embed(text_.samples[s]);
      if (dual_) base_.x.put(s, x);
      hat_.x.put(s, std::move(x));
    });
    for (int layer = 0; layer < config_.layers; ++layer) block(layer);
    head();
  }

 private:
  Stream stream(bool used) const {
    const size_t samples = used ? text_.samples.size() : 0;
    const int64_t length = longest(text_);
    const int64_t inner = std::max(
        {config_.hidden_size, config_.intermediate_size, config_.heads * config_.head_dim});
    return {{samples, length * config_.hidden_size, options_.spill_folder},
            {samples, length * inner, options_.spill_folder}};
  }

  // f(sample) for every sample, spread over threads.
  void for_each_sample(const std::function<void(size_t)>& f) {
    parallel_for(static_cast<int64_t>(text_.samples.size()), exec_,
                 [&f](int64_t s) { f(static_cast<size_t>(s)); });
  }

  void read_input(const Block& block, Stage stage, Stream& of, size_t s) const {
    Rows x = of.x.take(s);
    of.input.put(s, steps_.input(block, stage, x, of.input.take(s)));
    of.x.put(s, std::move(x));
  }

  void add_output(const Block& block, Stage stage, Stream& of, size_t s) const {
    Rows x = of.x.take(s);
    steps_.add_output(block, stage, of.input.take(s), x);
    of.x.put(s, std::move(x));
  }

  void block(int layer) {
    const ParameterFinder find(config_, load_, keep_);
    Block now = build_block(config_, layer, find, products_), then;
    if (dual_) then = original_walk_.block(layer, products_);
    for (const Stage stage : kStages) {
      for_each_sample([&](size_t s) {
        read_input(now, stage, hat_, s);
        if (dual_) read_input(then, stage, base_, s);
      });
      const bool adds = stage == Stage::o || stage == Stage::down;
      if (adds && dual_) for_each_sample([&](size_t s) { add_output(then, stage, base_, s); });
      std::vector<LinearMember> members;
      quantize_group(layer, stage, find);
      for (const Role role : roles_of(config_, stage)) members.push_back(find.linear(role, layer));
      group_of(now, stage) = LinearGroup(std::move(members), products_);
      if (adds) for_each_sample([&](size_t s) { add_output(now, stage, hat_, s); });
    }
    finish(layer);
  }

  // Hands the finished weights of a layer over, and lets go of the pages that the originals were
  // read from: else the whole file is in memory in the end.
  void finish(int layer) {
    for (const auto& [name, plan] : by_name_) {
      if (plan->spec.layer == layer) release_weight(model_, plan->spec);
    }
    if (!store_.has(layer) && !finished_.empty()) store_.put(layer, std::move(finished_));
    finished_.clear();
    done_.clear();
  }

  const ParameterPlan* planned(Role role, int layer) const {
    for (const auto& [name, plan] : by_name_) {
      if (plan->spec.role == role && plan->spec.layer == layer && !plan->spec.bias && plan->scheme)
        return plan;
    }
    return nullptr;
  }

  void quantize_group(int layer, Stage stage, const ParameterFinder& find) {
    std::vector<const ParameterPlan*> plans;
    for (const Role role : roles_of(config_, stage)) {
      if (const ParameterPlan* p = planned(role, layer)) plans.push_back(p);
    }
    if (plans.empty()) return;
    if (store_.has(layer)) {
      for (const ParameterPlan* p : plans) {
        done_[p->spec.name] =
            dequantize(store_.get(layer, p->spec.name, *p->scheme), exec_.threads);
        ++count_;
      }
      return;
    }
    const bool adds = dual_ && (stage == Stage::o || stage == Stage::down);
    if (adds) find_targets(find.vector(plans.front()->spec.role, layer, true));
    const InputStatistics statistics = collect(plans.front()->spec.shape[1], adds);
    quantize_all(plans, statistics);
  }

  // What the outputs (but for their bias) should be, so that adding them to this model's residual
  // stream makes it the original's, which has got its own already. They take the place of the rows
  // that the original weight read.
  void find_targets(const std::vector<float>& bias) {
    for_each_sample([&](size_t s) {
      Rows x = hat_.x.take(s), target = base_.x.take(s);
      base_.x.put(s, target);
      base_.input.take(s);
      for (size_t i = 0; i < x.size(); ++i)
        target[i] -= x[i] + (bias.empty() ? 0 : bias[i % bias.size()]);
      hat_.x.put(s, std::move(x));
      base_.input.put(s, std::move(target));
    });
  }

  // `targets`: what base_ holds as input are outputs to reach.
  InputStatistics collect(int64_t k, bool targets) {
    StatisticsCollector collector(k, {dual_ || method_.needs >= Calibration::hessian,
                                      dual_ && !targets, targets ? config_.hidden_size : 0});
    for (size_t s = 0; s < text_.samples.size(); ++s) {
      Rows input = hat_.input.take(s), other;
      if (dual_) other = base_.input.take(s);
      const std::span<const float> none, of_base = other;
      collector.add({input, targets ? none : of_base, targets ? of_base : none},
                    static_cast<int64_t>(text_.samples[s].size()), exec_.threads);
      hat_.input.put(s, std::move(input));
      if (dual_) base_.input.put(s, std::move(other));
    }
    return collector.finish(exec_.threads);
  }

  void quantize_all(std::span<const ParameterPlan* const> plans,
                    const InputStatistics& statistics) {
    std::optional<Correction> correction;
    if (dual_)
      correction.emplace(statistics, options_.correction_damping, options_.correction,
                         exec_.threads);
    for (const ParameterPlan* p : plans) quantize(*p, statistics, correction);
  }

  void quantize(const ParameterPlan& plan, const InputStatistics& statistics,
                const std::optional<Correction>& correction) {
    exec_.check_stop();
    Tensor w = std::get<Tensor>(load_weight(model_, plan.spec));
    refuse_nonfinite(w, plan.spec.name);
    if (correction) {
      if (w.dtype() != DType::f32) w = convert(w, DType::f32);
      const auto changed = correction->apply(w.data<float>(), plan.spec.shape[0]);
      w = Tensor::from<float>(plan.spec.shape, changed);
    }
    MethodOptions tuning = options_.tuning;
    tuning.scale_dtype = options_.scale_dtype;
    tuning.half_step_divisor = options_.half_step_divisor;
    const auto metric = metrics_.find(plan.spec.name);
    WeightResult result =
        method_.quantize({w, *plan.scheme, tuning, plan.spec.name, &statistics, exec_.threads,
                          metric == metrics_.end() ? nullptr : &metric->second});
    add_note(coverage_note(statistics), result.note);
    if (options_.strict && !result.note.empty())
      throw corrupt(result.note + " (--strict)").at("tensor " + in_quotes(plan.spec.name));
    if (plan.spec.layer >= 0) done_[plan.spec.name] = dequantize(result.weight, exec_.threads);
    exec_.report({"quantize", ++count_, total_, describe(plan.spec.name, result)});
    finished_.push_back({plan.spec.name,
                         std::move(result.weight),
                         {plan.spec.name, result.error, result.rtn_error, result.damping,
                          result.fell_back, result.note}});
  }

  static void add_note(const std::string& more, std::string& note) {
    if (!more.empty()) note += (note.empty() ? "" : "; ") + more;
  }

  static std::string describe(const std::string& name, const WeightResult& r) {
    if (r.error < 0) return name;
    return fmt::format("{} error {:.3g} (rtn {:.3g}){}", name, r.error, r.rtn_error,
                       r.damping > 0 ? fmt::format(", damping {:.3g}", r.damping) : "");
  }

  void head() {
    const ParameterPlan* p = planned(Role::lm_head, -1);
    if (p == nullptr || store_.has(-1)) return;
    const auto read = [this](Stream& of, size_t s) {
      Rows x = of.x.take(s);
      original_walk_.final_norm(x);
      of.input.put(s, std::move(x));
    };
    for_each_sample([&](size_t s) {
      read(hat_, s);
      if (dual_) read(base_, s);
    });
    const ParameterPlan* const all[] = {p};
    quantize_all(all, collect(config_.hidden_size, false));
    finish(-1);
  }

  const ModelFolder& model_;
  const DecoderConfig& config_;
  const QuantizeOptions& options_;
  const Method& method_;
  const CalibrationText& text_;
  const OutputMetrics& metrics_;
  LayerStore& store_;
  const Exec& exec_;
  const WeightLoader original_;
  const BlockWalk original_walk_;
  const BlockSteps steps_;
  const LinearOptions products_;
  const bool dual_;
  Stream hat_, base_;
  std::map<std::string, const ParameterPlan*, std::less<>> by_name_;
  std::map<std::string, Tensor, std::less<>> done_;  // of this block, as the rest of it sees them
  WeightLoader load_;
  WeightRelease keep_;                    // nothing
  std::vector<FinishedWeight> finished_;  // the same, for the store
  int64_t count_ = 0, total_ = 0;
};

}  // namespace

bool walks_in_bf16(const DecoderConfig& config, const std::vector<ParameterPlan>& plans,
                   const QuantizeOptions& options) {
  return config.hidden_size >= options.bf16_width && coarsest_bits(plans) <= kBf16Bits;
}

void walk_blocks(const ModelFolder& model, const std::vector<ParameterPlan>& plans,
                 const QuantizeOptions& options, const CalibrationText& text,
                 const OutputMetrics& metrics, LayerStore& store, const Exec& exec) {
  Walk(model, plans, options, text, metrics, store, exec).run();
}

}  // namespace nibble
