#include "nibble/compress/calibrated_walk.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "nibble/compress/block_training.h"
#include "nibble/compress/calibrated_weight.h"
#include "nibble/compress/prepare.h"
#include "nibble/compress/rare_experts.h"
#include "nibble/compress/sample_rows.h"
#include "nibble/compress/site_statistics.h"
#include "nibble/core/float_formats.h"
#include "nibble/quant/correction.h"

namespace nibble {
namespace {

using Rows = std::vector<float>;

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
  Walk(const Model& model, const std::vector<ParameterPlan>& plans, const QuantizeOptions& options,
       const WalkTexts& texts, const OutputMetrics& metrics, LayerStore& store, const Exec& exec)
      : model_(model),
        config_(model.decoder_config()),
        options_(options),
        method_(method(options.method)),
        text_(texts.calibration),
        metrics_(metrics),
        store_(store),
        exec_(exec),
        original_(config_, [&model](const ParamSpec& spec) { return load_weight(model, spec); }),
        products_{.bf16_products = walks_in_bf16(config_, plans, options), .threads = exec.threads},
        dual_(corrects_weights(options)),
        hat_(original_, text_.samples, options.spill_folder, exec),
        base_(original_, dual_ ? Samples(text_.samples) : Samples(), options.spill_folder, exec) {
    for (const ParameterPlan& p : plans) {
      plans_[p.spec] = &p;
      total_ += p.scheme && (is_walked(p.spec) || is_judged(model, options, p)) ? 1 : 0;
    }
    if (texts.training != nullptr)
      training_.emplace(BlockTraining::Setting{model, original_, options, metrics, products_, exec},
                        *texts.training);
    load_ = [this](const ParamSpec& spec) -> Weight {
      const auto done = done_.find(spec.name);
      return done != done_.end() ? Weight(done->second) : load_weight(model_, spec);
    };
  }

  void run() {
    hat_.embed();
    if (dual_) base_.embed();
    if (training_) training_->embed();
    for (int layer = 0; layer < config_.layers; ++layer) run_layer(layer);
    if (store_.has(-1)) return;
    head();
    table();
    finish(-1);
  }

 private:
  void run_layer(int layer) {
    const ParameterFinder find(config_, load_, keep_);
    Layer now = build_layer(config_, layer, find, products_), then;
    if (dual_) then = original_.layer(layer, products_);
    if (training_ && !store_.has(layer)) hat_.mark();
    for (size_t s = 0; s < now.plan.sites.size(); ++s) {
      hat_.read_input(now, s);
      if (dual_) base_.read_input(then, s), base_.add_output(then, s);
      for_each_group(layer, now.plan, s, [&](const GroupPlace& place) {
        quantize_group(place, find);
        LinearGroup& group = now.group(s, std::max(place.expert, 0));
        group = build_group(place.site(), layer, place.expert, find, products_);
        if (probable_) look_behind(place, group);
      });
      hat_.add_output(now, s);
    }
    if (training_) train(layer, find, std::move(now));
    finish(layer);
  }

  // What the method made of the layer is trained; calibration and training then go on behind what
  // came of that.
  void train(int layer, const ParameterFinder& find, Layer now) {
    training_->aim(layer);
    if (!store_.has(layer) && training_->train(layer, finished_)) {
      for (const FinishedWeight& w : finished_) done_[w.name] = dequantize(w.weight, exec_.threads);
      now = build_layer(config_, layer, find, products_);
      hat_.rewind();
      hat_.run(now);
    }
    training_->pass(now);
  }

  // Hands the finished weights of a layer over, and lets go of the pages that the originals were
  // read from: else the whole file is in memory in the end.
  void finish(int layer) {
    for (const auto& [key, plan] : plans_) {
      if (key.layer == layer) model_.weights->release(plan->spec.name);
    }
    if (!store_.has(layer) && !finished_.empty()) store_.put(layer, std::move(finished_));
    finished_.clear();
    done_.clear();
    behind_.clear();
  }

  const ParameterPlan* planned(const ParamKey& key) const {
    const auto found = plans_.find(key);
    return found == plans_.end() || !found->second->scheme ? nullptr : found->second;
  }

  void quantize_group(const GroupPlace& place, const ParameterFinder& find) {
    std::vector<const ParameterPlan*> plans;
    for (const SiteMember& m : place.site().members) {
      if (const ParameterPlan* p = planned(place.key(m))) plans.push_back(p);
    }
    if (plans.empty()) return;
    if (store_.has(place.layer)) return restore(plans, place.layer);
    StatisticsSource source{text_.samples.size(), hat_, dual_ ? &base_ : nullptr};
    if (corrects_stream(place)) source.bias = find.vector(plans[0]->spec.with_bias(true));
    InputStatistics statistics = site_statistics(place, source, wants_hessian(), exec_);
    if (place.expert >= 0 && method_.needs != Calibration::nothing) fill_up(place, statistics);
    quantize_all(plans, statistics);
  }

  // An expert that saw too few rows for one of its sites.
  void fill_up(const GroupPlace& place, InputStatistics& own) {
    if (place.site().in != BufferId::gathered) {
      const auto found = behind_.find(place.expert);
      if (found == behind_.end()) return;
      found->second.hessian = hessians_->take(static_cast<size_t>(place.expert));
      nibble::fill_up(found->second, own);
      found->second.hessian = {};
      return;
    }
    if (own.rows >= std::max(own.k, expert_size(config_))) return;
    probable_.emplace(place, hat_, text_.samples.size());
    nibble::fill_up(probable_->first(wants_hessian(), exec_.threads), own);
  }

  // What its last matrix will read, now that the first ones are rounded.
  void look_behind(const GroupPlace& place, const LinearGroup& group) {
    const LinearEnd end = place.plan.steps[step_of(place.plan, place.index)].end;
    InputStatistics made = probable_->last(group, end, wants_hessian(), exec_.threads);
    probable_.reset();
    if (!hessians_)
      hessians_.emplace(static_cast<size_t>(config_.experts), made.k * made.k,
                        options_.spill_folder);
    hessians_->put(static_cast<size_t>(place.expert), std::exchange(made.hessian, {}));
    behind_.insert_or_assign(place.expert, std::move(made));
  }

  bool wants_hessian() const { return dual_ || method_.needs >= Calibration::hessian; }

  void restore(const std::vector<const ParameterPlan*>& plans, int layer) {
    for (const ParameterPlan* p : plans) {
      done_[p->spec.name] = dequantize(store_.get(layer, p->spec.name, *p->scheme), exec_.threads);
      ++count_;
    }
  }

  void quantize_all(std::span<const ParameterPlan* const> plans,
                    const InputStatistics& statistics) {
    std::optional<Correction> correction;
    if (dual_)
      correction.emplace(statistics, options_.correction_damping, options_.correction,
                         exec_.threads);
    for (const ParameterPlan* p : plans)
      quantize(*p, statistics, correction, metric_of(p->spec.name));
  }

  // Training asks for metrics as well: to a method that does not, they are nothing.
  const OutputMetric* metric_of(const std::string& name) const {
    if (method_.needs != Calibration::fisher) return nullptr;
    const auto found = metrics_.find(name);
    return found == metrics_.end() ? nullptr : &found->second;
  }

  void quantize(const ParameterPlan& plan, const InputStatistics& statistics,
                const std::optional<Correction>& correction, const OutputMetric* metric) {
    exec_.check_stop();
    Tensor w = load_weight(model_, plan.spec).plain();
    if (correction) {
      refuse_nonfinite(w, plan.spec.name);
      if (w.dtype() != DType::f32) w = convert(w, DType::f32);
      const auto changed = correction->apply(w.data<float>(), plan.spec.shape[0]);
      w = Tensor::from<float>(plan.spec.shape, changed);
    }
    finished_.push_back(calibrated_weight({w, plan, options_, statistics, metric},
                                          coverage_note(statistics), exec_.threads));
    const FinishedWeight& done = finished_.back();
    if (plan.spec.layer >= 0) done_[done.name] = dequantize(done.weight, exec_.threads);
    exec_.report({"quantize", ++count_, total_, describe(done.report)});
  }

  // lm_head: as a site of a layer of its own.
  void head() {
    const ParameterPlan* p = planned({Role::lm_head});
    if (p == nullptr) return;
    hat_.read_head();
    if (dual_) base_.read_head();
    const LayerPlan plan = head_plan(config_);
    const ParameterPlan* const all[] = {p};
    const StatisticsSource source{text_.samples.size(), hat_, dual_ ? &base_ : nullptr};
    quantize_all(all, site_statistics({-1, 0, plan}, source, wants_hessian(), exec_));
  }

  // A token table, for what the gradients make of its rows.
  void table() {
    const ParameterPlan* p = planned({Role::token_embedding});
    if (p == nullptr || !is_judged(model_, options_, *p)) return;
    quantize(*p, judging(metrics_.at(p->spec.name)), std::nullopt, nullptr);
  }

  const Model& model_;
  const DecoderConfig& config_;
  const QuantizeOptions& options_;
  const Method& method_;
  const CalibrationText& text_;
  const OutputMetrics& metrics_;
  LayerStore& store_;
  const Exec& exec_;
  const LayerRunner original_;
  const LinearOptions products_;
  const bool dual_;
  SampleStream hat_, base_;
  std::optional<BlockTraining> training_;
  std::map<ParamKey, const ParameterPlan*> plans_;
  std::map<std::string, Tensor, std::less<>> done_;  // of this block, as the rest of it sees them
  WeightLoader load_;
  WeightRelease keep_;                    // nothing
  std::vector<FinishedWeight> finished_;  // the same, for the store
  std::optional<ProbableRows> probable_;  // of the expert at hand, where it saw few rows
  // Of such experts, what their last matrix reads; and the Hessians of that, which may be as large
  // as a layer.
  std::map<int, InputStatistics> behind_;
  std::optional<SampleRows> hessians_;
  int64_t count_ = 0, total_ = 0;
};

}  // namespace

bool corrects_weights(const QuantizeOptions& options) {
  return options.inputs == CalibrationInputs::corrected &&
         method(options.method).needs != Calibration::nothing;
}

bool walks_in_bf16(const DecoderConfig& config, const std::vector<ParameterPlan>& plans,
                   const QuantizeOptions& options) {
  return config.hidden_size >= options.bf16_width && coarsest_bits(plans) <= kBf16Bits;
}

void walk_blocks(const Model& model, const std::vector<ParameterPlan>& plans,
                 const QuantizeOptions& options, const WalkTexts& texts,
                 const OutputMetrics& metrics, LayerStore& store, const Exec& exec) {
  Walk(model, plans, options, texts, metrics, store, exec).run();
}

}  // namespace nibble
