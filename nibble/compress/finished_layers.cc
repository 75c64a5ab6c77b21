#include "nibble/compress/finished_layers.h"

#include <algorithm>

#include "nibble/compress/calibrated_walk.h"
#include "nibble/compress/fisher_walk.h"
#include "nibble/compress/recipe.h"
#include "nibble/core/error.h"
#include "nibble/core/hash.h"
#include "nibble/core/json.h"
#include "nibble/core/version.h"
#include "nibble/quant/method.h"
#include "nibble/quant/static_activations.h"

namespace nibble {
namespace {

// The plan's scheme without what a walk does not look at: the numbers of the inputs.
QuantScheme walked_scheme(const QuantScheme& scheme) {
  QuantScheme out = scheme;
  if (needs_number(out)) out.activations = ActivationType::none;
  return out;
}

std::vector<ParameterPlan> walked_plans(std::vector<ParameterPlan> plans) {
  for (ParameterPlan& p : plans) {
    if (p.scheme) p.scheme = walked_scheme(*p.scheme);
  }
  return plans;
}

// Everything that the bytes of a calibrated run depend on.
std::string fingerprint(const Model& model, const QuantizeOptions& options,
                        const std::string& calibration_hash) {
  JsonWriter out;
  out.begin_object().field("nibble_version", version());
  write_recipe(options, out);
  out.field("model", content_hash(model)).field("calibration", calibration_hash);
  return out.end_object().finish();
}

// True where a run that was stopped left nothing to be done that needs gradients.
bool all_there(const Prepared& ready, const LayerStore& store) {
  return std::all_of(ready.plans.begin(), ready.plans.end(), [&](const ParameterPlan& p) {
    if (is_judged(*ready.model, ready.options, p)) return store.has(-1);
    return !p.scheme || p.spec.layer < 0 || store.has(p.spec.layer);
  });
}

}  // namespace

std::string resume_folder(const std::string& out) { return out + ".resume"; }

std::unique_ptr<FolderStore> open_layers(const Model& original, const std::string& out,
                                         const QuantizeOptions& options, QuantizeResult& result) {
  auto store = std::make_unique<FolderStore>(
      resume_folder(out), fingerprint(original, options, result.calibration_hash), options.resume,
      result.warnings);
  result.resumed_layers = store->layers_found();
  return store;
}

void quantize_layers(const Model& original, const Prepared& ready, LayerStore& store,
                     const Exec& exec) {
  naming_model(original, [&] {
    if (ready.importance)
      return quantize_by_importance(*ready.model, walked_plans(ready.plans), ready.options,
                                    *ready.importance, store, exec);
    OutputMetrics made;
    const bool trains = ready.options.trains_blocks;
    const bool wanted = trains || method(ready.options.method).needs == Calibration::fisher;
    if (wanted && ready.metrics == nullptr && !all_there(ready, store))
      made = output_metrics(*ready.model, *ready.text,
                            {.bf16_width = ready.options.bf16_width,
                             .spill_folder = ready.options.spill_folder,
                             .streams = trains},
                            exec);
    walk_blocks(*ready.model, walked_plans(ready.plans), ready.options,
                {*ready.text, ready.training_text ? &*ready.training_text : nullptr},
                wanted && ready.metrics != nullptr ? *ready.metrics : made, store, exec);
  });
}

Weight finished_weight(const Prepared& ready, const ParameterPlan& plan, const LayerStore& store,
                       int threads) {
  if (!plan.scheme) return quantize_parameter(*ready.model, plan, ready.options, threads);
  const bool in_store = (is_calibrated(ready.options) && is_walked(plan.spec)) ||
                        is_judged(*ready.model, ready.options, plan);
  Weight w = in_store
                 ? Weight(store.get(plan.spec.layer, plan.spec.name, walked_scheme(*plan.scheme)))
                 : quantize_parameter(*ready.model, plan, ready.options, threads);
  QuantizedTensor& q = w.quantized();
  q.scheme = *plan.scheme;
  const auto threshold = static_cast<float>(ready.options.outlier_threshold);
  if (q.scheme.activations == ActivationType::a8_static)
    q.activation = ready.static_scales.at(plan.spec.name);
  else if (q.scheme.activations == ActivationType::a8_outlier)
    q.activation = Tensor::from<float>(Shape{1}, std::span(&threshold, 1));
  return w;
}

void keeping_useful_layers(FolderStore* store, const QuantizeOptions& options,
                           const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& e) {
    if (store != nullptr) store->fail(e.kind() != ErrorKind::corrupt || options.strict);
    throw;
  }
}

}  // namespace nibble
