#include "nibble/compress/rescale_model.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/compress/input_walk.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/model/fold.h"
#include "nibble/model/rotate_model.h"
#include "nibble/quant/rescale.h"
#include "nibble/quant/static_activations.h"

namespace nibble {
namespace {

// Rows that quantized activations are tried on.
constexpr int64_t kRowsOfSite = 256;

std::optional<QuantScheme> scheme_of(const std::vector<ParameterPlan>& plans,
                                     const std::string& name) {
  for (const ParameterPlan& p : plans) {
    if (p.spec.name == name) return p.scheme;
  }
  return std::nullopt;
}

class Rescaling {
 public:
  Rescaling(const Rescaler& rescaler, const Model& model, const std::vector<ParameterPlan>& plans,
            const QuantizeOptions& options, std::vector<SiteReport>& reports, const Exec& exec)
      : rescaler_(rescaler),
        model_(model),
        plans_(plans),
        options_(options),
        reports_(reports),
        exec_(exec),
        sites_(fold_sites(model.decoder_config())) {}

  void visit(const GroupInput& input) {
    for (const FoldSite& site : sites_) {
      if (site.key == static_cast<const ParamKey&>(input.reads[0])) choose(site, input);
    }
  }

  WeightChanges take() { return std::move(changes_); }

 private:
  void choose(const FoldSite& site, const GroupInput& input) {
    SiteReport report{std::string(rescaler_.name), site.consumers[0], 0, 0, 0, site.refusal};
    std::vector<std::vector<float>> weights;
    SiteTask task{input.statistics, input.sample, {}, options_.scale_dtype, {}, exec_.threads};
    for (const ParamSpec& p : input.reads) {
      const auto scheme = scheme_of(plans_, p.name);
      if (scheme) add_reader(p, *scheme, weights, task);
    }
    if (task.readers.empty()) return;
    if (site.producer != Producer::none) {
      task.tie = [&site](std::span<float> s) { tie_scales(site, s); };
      SiteScales chosen = rescaler_.choose(task);
      report.exponent = chosen.exponent;
      report.error = chosen.error;
      report.plain_error = chosen.plain_error;
      add_fold({site, std::move(chosen.scales)}, changes_);
    }
    exec_.check_stop();
    reports_.push_back(std::move(report));
  }

  void add_reader(const ParamSpec& p, const QuantScheme& scheme,
                  std::vector<std::vector<float>>& weights, SiteTask& task) {
    const Tensor tensor = load_weight(model_, p).plain();
    refuse_nonfinite(tensor, p.name);
    std::vector<float> values(static_cast<size_t>(tensor.elements()));
    to_f32(tensor, values);
    weights.push_back(std::move(values));
    task.readers.push_back({weights.back(), p.shape[0], scheme, p.name});
  }

  const Rescaler& rescaler_;
  const Model& model_;
  const std::vector<ParameterPlan>& plans_;
  const QuantizeOptions& options_;
  std::vector<SiteReport>& reports_;
  const Exec& exec_;
  const std::vector<FoldSite> sites_;
  WeightChanges changes_;
};

}  // namespace

void write_report(const SiteReport& r, JsonWriter& out) {
  out.begin_object().field("step", r.step).field("tensor", r.tensor);
  if (r.note.empty())
    out.field("exponent", r.exponent).field("error", r.error).field("plain_error", r.plain_error);
  else
    out.field("note", r.note);
  out.end_object();
}

Model apply_step(const std::string& step, const Model& model,
                 const std::vector<ParameterPlan>& plans, const QuantizeOptions& options,
                 const CalibrationText& text, std::vector<SiteReport>& reports, const Exec& exec) {
  if (step == "rotate") return rotated_model(model, options.calibration.seed);
  const Rescaler* rescaler = find_rescaler(step);
  NIBBLE_CHECK(rescaler != nullptr);
  Rescaling work(*rescaler, model, plans, options, reports, exec);
  const bool head = scheme_of(plans, "lm_head.weight").has_value();
  walk_inputs(model, text, {true, kRowsOfSite, head, true, options.spill_folder}, exec,
              [&](const GroupInput& input) { work.visit(input); });
  return with_changes(model, work.take());
}

TensorMap static_scales(const Model& model, const std::vector<ParameterPlan>& plans,
                        const CalibrationText& text, const std::string& spill_folder,
                        const Exec& exec) {
  TensorMap out;
  walk_inputs(model, text, {false, 0, true, false, spill_folder}, exec,
              [&](const GroupInput& input) {
                for (const ParamSpec& p : input.reads) {
                  const auto scheme = scheme_of(plans, p.name);
                  if (scheme && scheme->activations == ActivationType::a8_static)
                    out.emplace(p.name, static_scale(input.statistics.absmax));
                }
              });
  return out;
}

}  // namespace nibble
