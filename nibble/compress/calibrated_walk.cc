#include "nibble/compress/calibrated_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <exception>
#include <mutex>

#include "nibble/compress/block_steps.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/model/block_walk.h"
#include "nibble/model/decoder_build.h"
#include "nibble/quant/correction.h"

namespace nibble {
namespace {

using Rows = std::vector<float>;

// One version of the model on its way through the blocks: the residual stream of every sample, and
// what the last stage read.
struct Stream {
  std::vector<Rows> x, input;
};

class Walk {
 public:
  Walk(const ModelFolder& model, const std::vector<ParameterPlan>& plans,
       const QuantizeOptions& options, const CalibrationText& text, LayerStore& store,
       const Exec& exec)
      : model_(model),
        config_(model.decoder_config()),
        options_(options),
        method_(method(options.method)),
        text_(text),
        store_(store),
        exec_(exec),
        original_([&model](const ParamSpec& spec) { return load_weight(model, spec); }),
        original_walk_(config_, original_),
        steps_(config_) {
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
    dual_ = options_.inputs == CalibrationInputs::corrected;
    for_each_sample([this](size_t s) { hat_.x[s] = original_walk_.embed(text_.samples[s]); });
    if (dual_) base_.x = hat_.x;
    for (int layer = 0; layer < config_.layers; ++layer) block(layer);
    head();
  }

 private:
  // f(sample) for every sample, spread over threads; rethrows what one of them throws.
  void for_each_sample(const std::function<void(size_t)>& f) {
    const auto count = static_cast<int64_t>(text_.samples.size());
    hat_.x.resize(text_.samples.size());
    hat_.input.resize(text_.samples.size());
    base_.input.resize(text_.samples.size());
    std::exception_ptr failure;
    std::mutex mutex;
#pragma omp parallel for schedule(dynamic) num_threads(exec_.threads) if (exec_.threads > 1)
    for (int64_t s = 0; s < count; ++s) {
      try {
        f(static_cast<size_t>(s));
      } catch (...) {
        const std::lock_guard lock(mutex);
        failure = std::current_exception();
      }
    }
    if (failure) std::rethrow_exception(failure);
    exec_.check_stop();
  }

  void block(int layer) {
    const ParameterFinder find(config_, load_, keep_);
    Block now = build_block(config_, layer, find, {}), then;
    if (dual_) then = original_walk_.block(layer);
    for (const Stage stage : kStages) {
      for_each_sample([&](size_t s) {
        hat_.input[s] = steps_.input(now, stage, hat_.x[s], hat_.input[s]);
        if (dual_) base_.input[s] = steps_.input(then, stage, base_.x[s], base_.input[s]);
      });
      std::vector<LinearMember> members;
      quantize_group(layer, stage);
      for (const Role role : roles_of(config_, stage)) members.push_back(find.linear(role, layer));
      group_of(now, stage) = LinearGroup(std::move(members), {});
      if (stage == Stage::qkv || stage == Stage::up) continue;
      for_each_sample([&](size_t s) {
        steps_.add_output(now, stage, hat_.input[s], hat_.x[s]);
        if (dual_) steps_.add_output(then, stage, base_.input[s], base_.x[s]);
      });
    }
    finish(layer);
  }

  // Hands the finished weights of a layer over.
  void finish(int layer) {
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

  void quantize_group(int layer, Stage stage) {
    std::vector<const ParameterPlan*> plans;
    for (const Role role : roles_of(config_, stage)) {
      if (const ParameterPlan* p = planned(role, layer)) plans.push_back(p);
    }
    if (plans.empty()) return;
    if (store_.has(layer)) {
      for (const ParameterPlan* p : plans) {
        done_[p->spec.name] = dequantize(store_.get(layer, p->spec.name, *p->scheme));
        ++count_;
      }
      return;
    }
    const bool adds = stage == Stage::o || stage == Stage::down;
    const InputStatistics statistics = collect(adds);
    for (const ParameterPlan* p : plans) quantize(*p, statistics);
  }

  InputStatistics collect(bool adds) {
    const auto m = static_cast<int64_t>(text_.samples[0].size());
    const int64_t k = static_cast<int64_t>(hat_.input[0].size()) / m;
    StatisticsCollector collector(k, {dual_ || method_.needs == Calibration::hessian, dual_,
                                      dual_ && adds ? config_.hidden_size : 0});
    Rows residual;
    for (size_t s = 0; s < text_.samples.size(); ++s) {
      residual.clear();
      for (size_t i = 0; dual_ && adds && i < hat_.x[s].size(); ++i)
        residual.push_back(base_.x[s][i] - hat_.x[s][i]);
      collector.add(
          {hat_.input[s], dual_ ? std::span<const float>(base_.input[s]) : std::span<const float>(),
           residual},
          static_cast<int64_t>(text_.samples[s].size()), exec_.threads);
    }
    return collector.finish(exec_.threads);
  }

  void quantize(const ParameterPlan& plan, const InputStatistics& statistics) {
    exec_.check_stop();
    Tensor w = std::get<Tensor>(load_weight(model_, plan.spec));
    refuse_nonfinite(w, plan.spec.name);
    if (dual_) {
      if (w.dtype() != DType::f32) w = convert(w, DType::f32);
      const auto changed =
          corrected_weight(w.data<float>(), plan.spec.shape[0], statistics,
                           options_.correction_damping, options_.correction, exec_.threads);
      w = Tensor::from<float>(plan.spec.shape, changed);
    }
    MethodOptions tuning = options_.tuning;
    tuning.scale_dtype = options_.scale_dtype;
    tuning.half_step_divisor = options_.half_step_divisor;
    WeightResult result =
        method_.quantize({w, *plan.scheme, tuning, plan.spec.name, &statistics, exec_.threads});
    add_note(coverage_note(statistics), result.note);
    if (plan.spec.layer >= 0) done_[plan.spec.name] = dequantize(result.weight);
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
    for_each_sample([&](size_t s) {
      original_walk_.final_norm(hat_.x[s]);
      hat_.input[s] = hat_.x[s];
      if (!dual_) return;
      original_walk_.final_norm(base_.x[s]);
      base_.input[s] = base_.x[s];
    });
    quantize(*p, collect(false));
    finish(-1);
  }

  const ModelFolder& model_;
  const DecoderConfig& config_;
  const QuantizeOptions& options_;
  const Method& method_;
  const CalibrationText& text_;
  LayerStore& store_;
  const Exec& exec_;
  const WeightLoader original_;
  const BlockWalk original_walk_;
  const BlockSteps steps_;
  bool dual_ = false;
  std::map<std::string, const ParameterPlan*, std::less<>> by_name_;
  std::map<std::string, Tensor, std::less<>> done_;  // of this block, as the rest of it sees them
  WeightLoader load_;
  WeightRelease keep_;  // nothing
  Stream hat_, base_;
  std::vector<FinishedWeight> finished_;  // the same, for the store
  int64_t count_ = 0, total_ = 0;
};

}  // namespace

void walk_blocks(const ModelFolder& model, const std::vector<ParameterPlan>& plans,
                 const QuantizeOptions& options, const CalibrationText& text, LayerStore& store,
                 const Exec& exec) {
  Walk(model, plans, options, text, store, exec).run();
}

}  // namespace nibble
