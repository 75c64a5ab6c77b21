#include "nibble/compress/prepare.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/compress/block_training.h"
#include "nibble/compress/estimate.h"
#include "nibble/compress/method_chain.h"
#include "nibble/compress/rescale_model.h"
#include "nibble/compress/untie.h"
#include "nibble/core/error.h"
#include "nibble/core/posix.h"
#include "nibble/model/rotate_model.h"
#include "nibble/quant/grid.h"
#include "nibble/quant/method.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

bool has_static(const std::vector<ParameterPlan>& plans) {
  return std::any_of(plans.begin(), plans.end(), [](const ParameterPlan& p) {
    return p.scheme && p.scheme->activations == ActivationType::a8_static;
  });
}

// Under a memory limit, activations go beside the output where that is enough.
QuantizeOptions within_memory(const Model& model, const std::string& out,
                              const std::vector<ParameterPlan>& plans, QuantizeOptions options,
                              int threads) {
  if (options.max_memory <= 0) return options;
  const QuantizeEstimate e = estimate_quantization(model, plans, options, threads);
  if (e.memory_bytes <= options.max_memory) return options;
  options.spill_folder = split_path(out).folder;
  if (e.spilled_bytes <= options.max_memory) return options;
  throw out_of_memory(fmt::format(
      "quantizing this model needs about {} MiB, `max_memory` allows {} MiB: "
      "fewer `threads`, a shorter `calibration_length` or `inputs` quantized need less{}",
      e.spilled_bytes >> 20, options.max_memory >> 20,
      is_calibrated(options) && options.calibration.text.empty()
          ? ", and so may a text given with `calibration_text`"
          : ""));
}

// Calibrated methods round to evenly spaced levels; that a scheme has none is said before hours of
// calibration.
void require_levels(const std::vector<ParameterPlan>& plans, const QuantizeOptions& options) {
  for (const ParameterPlan& p : plans) {
    if (p.scheme && is_walked(p.spec)) level_range(*p.scheme, options.method);
  }
}

// Text that the model writes takes all of the model; a text from a file only to see how it suits,
// which is left out where that is more than options.max_memory.
bool may_load_model(const Model& model, const QuantizeOptions& options, QuantizeResult& result,
                    int threads) {
  if (options.max_memory <= 0) return true;
  const int64_t needed = text_memory(model, options.calibration, threads);
  if (needed <= options.max_memory) return true;
  const std::string needs =
      fmt::format("{} MiB, `max_memory` allows {} MiB", needed >> 20, options.max_memory >> 20);
  if (options.calibration.text.empty())
    throw out_of_memory(
        fmt::format("writing a calibration text needs about {}: give one "
                    "with `calibration_text` FILE, or fewer `threads`",
                    needs));
  result.warnings.push_back(
      fmt::format("calibration text {}: not checked whether it is like what the model knows, which "
                  "needs about {}",
                  in_quotes(options.calibration.text), needs));
  return false;
}

void check_fit(const Model& model, const QuantizeOptions& options, const CalibrationText& text,
               QuantizeResult& result, const Exec& exec) {
  if (options.calibration.text.empty()) return;
  const CalibrationFit fit = calibration_fit(model, text, options.calibration.seed, exec);
  const std::string warning = fit_warning(fit, text.source);
  if (warning.empty()) return;
  if (options.strict) throw corrupt(warning + " (`strict`)");
  result.warnings.push_back(warning);
}

}  // namespace

bool is_calibrated(const QuantizeOptions& options) {
  return options.trains_blocks || method(options.method).needs != Calibration::nothing;
}

bool is_walked(const ParamSpec& spec) { return spec.layer >= 0 || spec.role == Role::lm_head; }

bool is_judged(const Model& model, const QuantizeOptions& options, const ParameterPlan& plan) {
  if (plan.spec.role != Role::token_embedding || !plan.scheme) return false;
  if (method(options.method).needs != Calibration::fisher) return false;
  const NumberKind kind = number(*plan.scheme).kind;
  const bool steps = kind == NumberKind::integers || kind == NumberKind::blocks;
  return steps && judges_table(model.decoder_config());
}

void naming_model(const Model& model, const std::function<void()>& f) {
  try {
    f();
  } catch (Error& e) {
    if (e.kind() == ErrorKind::corrupt) e.set_file(model.path);
    throw;
  }
}

Prepared prepare(const Model& original, const std::string& beside, const QuantizeOptions& options,
                 const Known& known, QuantizeResult& result, const Exec& exec) {
  const MethodChain chain = parse_method_chain(options.method);
  Prepared out;
  out.model = &original;
  // Not where they are of another model, or where training needs more of them.
  if (chain.steps.empty() && !chain.trains) out.metrics = known.metrics;
  out.options = without_steps(options);
  if (auto untied = untied_model(original, out.options, result.warnings)) {
    out.stages.push_back(std::make_unique<Model>(std::move(*untied)));
    out.model = out.stages.back().get();
  }
  out.plans = plan_quantization(*out.model, out.options, result.warnings);
  if (std::count(chain.steps.begin(), chain.steps.end(), "rotate") > 0)
    rotated_model(original, options.calibration.seed);  // nothing is read yet, but refused
  if (method(out.options.method).needs != Calibration::nothing)
    require_levels(out.plans, out.options);
  if (chain.trains) require_trainable(out.plans);
  out.options = within_memory(original, beside, out.plans, out.options, exec.threads);
  if (!options.importance_file.empty())
    out.importance.emplace(options.importance_file, out.plans, result.warnings);
  const bool needs_text = has_static(out.plans) ||
                          (is_calibrated(out.options) && !out.importance) ||
                          std::any_of(chain.steps.begin(), chain.steps.end(),
                                      [](const std::string& s) { return s != "rotate"; });
  if (needs_text) {
    const bool loads = may_load_model(original, options, result, exec.threads);
    out.text =
        known.text != nullptr ? *known.text : calibration_text(original, options.calibration, exec);
    if (loads) check_fit(original, options, *out.text, result, exec);
    if (chain.trains) out.training_text = training_text(original, options, exec);
  }
  const CalibrationText none;
  for (const std::string& step : chain.steps) {
    naming_model(original, [&] {
      out.stages.push_back(
          std::make_unique<Model>(apply_step(step, *out.model, out.plans, out.options,
                                             out.text ? *out.text : none, result.sites, exec)));
    });
    out.model = out.stages.back().get();
    std::vector<std::string> said;
    out.plans = plan_quantization(*out.model, out.options, said);
    for (std::string& line : said) {  // a weight that a step changes keeps no codes
      if (std::find(result.warnings.begin(), result.warnings.end(), line) == result.warnings.end())
        result.warnings.push_back(std::move(line));
    }
  }
  if (has_static(out.plans))
    out.static_scales =
        static_scales(*out.model, out.plans, *out.text, out.options.spill_folder, exec);
  return out;
}

}  // namespace nibble
