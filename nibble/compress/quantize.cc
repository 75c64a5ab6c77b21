#include "nibble/compress/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "nibble/compress/calibrated_walk.h"
#include "nibble/compress/estimate.h"
#include "nibble/compress/joint_magnitude.h"
#include "nibble/compress/method_chain.h"
#include "nibble/compress/provenance.h"
#include "nibble/compress/recipe.h"
#include "nibble/compress/rescale_model.h"
#include "nibble/core/counted.h"
#include "nibble/core/files.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/hash.h"
#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/core/version.h"
#include "nibble/quant/method.h"
#include "nibble/quant/static_activations.h"

namespace nibble {
namespace {

void check_options(const ModelFolder& model, const QuantizeOptions& options) {
  parse_method_chain(options.method);
  for (const std::string& what : options.also) {
    if (what != "lm_head" && what != "embeddings") {
      throw invalid_argument(
          fmt::format("--quantize {}: use lm_head or embeddings", in_quotes(what)));
    }
  }
  if (!model.schemes.empty()) {
    throw unsupported("this model is quantized already; quantize the original instead")
        .in_file(model.path);
  }
}

}  // namespace

Weight quantize_parameter(const ModelFolder& model, const ParameterPlan& plan,
                          const QuantizeOptions& options) {
  const Tensor w = model.tensors->get(plan.spec.name);
  if (!plan.scheme) {
    refuse_nonfinite(w, plan.spec.name);
    return w.dtype() == plan.dtype ? w : convert(w, plan.dtype);
  }
  MethodOptions tuning = options.tuning;
  tuning.scale_dtype = options.scale_dtype;
  tuning.half_step_divisor = options.half_step_divisor;
  if (plan.scheme->type == NumberType::nvfp4)
    tuning.joint_magnitude = joint_magnitude(model, plan.spec);
  const bool blind = method(options.method).needs == Calibration::nothing;
  tuning.clip = tuning.clip || (!blind && !plan.scheme->has_codebook());
  const Method& chosen = method(blind ? options.method : "rtn");
  return chosen.quantize({w, *plan.scheme, tuning, plan.spec.name}).weight;
}

namespace {

bool is_calibrated(const QuantizeOptions& options) {
  return method(options.method).needs != Calibration::nothing;
}

bool has_static(const std::vector<ParameterPlan>& plans) {
  return std::any_of(plans.begin(), plans.end(), [](const ParameterPlan& p) {
    return p.scheme && p.scheme->activations == ActivationType::a8_static;
  });
}

// Under a memory limit, activations go beside the output where that is enough.
QuantizeOptions within_memory(const ModelFolder& model, const std::string& out,
                              const std::vector<ParameterPlan>& plans, QuantizeOptions options,
                              int threads) {
  if (options.max_memory <= 0) return options;
  const QuantizeEstimate e = estimate_quantization(model, plans, options, threads);
  if (e.memory_bytes <= options.max_memory) return options;
  options.spill_folder = split_path(out).folder;
  if (e.spilled_bytes <= options.max_memory) return options;
  throw Error(ErrorKind::io,
              fmt::format("quantizing this model needs about {} MiB, --max-memory allows {} MiB: "
                          "fewer --threads, a shorter --length or --inputs quantized need less{}",
                          e.spilled_bytes >> 20, options.max_memory >> 20,
                          is_calibrated(options) && options.calibration.text.empty()
                              ? ", and so may a text given with --calib"
                              : ""))
      .with_code(kExitMemory);
}

// Runs `f`; what is wrong with a tensor is said with the model that it is in.
void naming_model(const ModelFolder& model, const std::function<void()>& f) {
  try {
    f();
  } catch (Error& e) {
    if (e.kind() == ErrorKind::corrupt) e.set_file(model.path);
    throw;
  }
}

// What is left to be quantized when the steps of a method are done.
struct Prepared {
  std::vector<std::unique_ptr<ModelFolder>> stages;  // each reads the one before
  const ModelFolder* model = nullptr;                // the last of them, or the original
  QuantizeOptions options;                           // the quantizer's
  std::vector<ParameterPlan> plans;
  std::optional<CalibrationText> text;
  TensorMap static_scales;
};

// Text that the model writes takes all of the model; a text from a file only to see how it suits,
// which is left out where that is more than --max-memory.
bool may_load_model(const ModelFolder& model, const QuantizeOptions& options,
                    QuantizeResult& result, int threads) {
  if (options.max_memory <= 0) return true;
  const int64_t needed = text_memory(model, options.calibration, threads);
  if (needed <= options.max_memory) return true;
  const std::string needs =
      fmt::format("{} MiB, --max-memory allows {} MiB", needed >> 20, options.max_memory >> 20);
  if (options.calibration.text.empty())
    throw Error(ErrorKind::io, fmt::format("writing a calibration text needs about {}: give one "
                                           "with --calib FILE, or fewer --threads",
                                           needs))
        .with_code(kExitMemory);
  result.warnings.push_back(
      fmt::format("calibration text {}: not checked whether it is like what the model knows, which "
                  "needs about {}",
                  in_quotes(options.calibration.text), needs));
  return false;
}

void check_fit(const ModelFolder& model, const QuantizeOptions& options,
               const CalibrationText& text, QuantizeResult& result, const Exec& exec) {
  if (options.calibration.text.empty()) return;
  const CalibrationFit fit = calibration_fit(model, text, options.calibration.seed, exec);
  const std::string warning = fit_warning(fit, text.source);
  if (warning.empty()) return;
  if (options.strict) throw corrupt(warning + " (--strict)");
  result.warnings.push_back(warning);
}

// `beside`: the folder to be made, empty where none is; files for activations go there.
// `text`: null where it is still to be made.
Prepared prepare(const ModelFolder& original, const std::string& beside,
                 const QuantizeOptions& options, const CalibrationText* text,
                 QuantizeResult& result, const Exec& exec) {
  const MethodChain chain = parse_method_chain(options.method);
  Prepared out;
  out.model = &original;
  out.options = without_steps(options);
  out.plans = plan_quantization(original, out.options, result.warnings);
  out.options = within_memory(original, beside, out.plans, out.options, exec.threads);
  const bool needs_text = has_static(out.plans) || is_calibrated(out.options) ||
                          std::any_of(chain.steps.begin(), chain.steps.end(),
                                      [](const std::string& s) { return s != "rotate"; });
  if (needs_text) {
    const bool loads = may_load_model(original, options, result, exec.threads);
    out.text = text != nullptr ? *text : calibration_text(original, options.calibration, exec);
    if (loads) check_fit(original, options, *out.text, result, exec);
  }
  const CalibrationText none;
  for (const std::string& step : chain.steps) {
    naming_model(original, [&] {
      out.stages.push_back(std::make_unique<ModelFolder>(
          apply_step(step, *out.model, out.plans, out.options, out.text ? *out.text : none,
                     result.sites, exec)));
    });
    out.model = out.stages.back().get();
    std::vector<std::string> said;
    out.plans = plan_quantization(*out.model, out.options, said);
  }
  if (has_static(out.plans))
    out.static_scales =
        static_scales(*out.model, out.plans, *out.text, out.options.spill_folder, exec);
  return out;
}

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

// From the store where a calibrated method put it there.
Weight finished_weight(const Prepared& ready, const ParameterPlan& plan, const LayerStore& store) {
  const bool walked = plan.spec.layer >= 0 || plan.spec.role == Role::lm_head;
  if (!plan.scheme) return quantize_parameter(*ready.model, plan, ready.options);
  Weight w = is_calibrated(ready.options) && walked
                 ? Weight(store.get(plan.spec.layer, plan.spec.name, walked_scheme(*plan.scheme)))
                 : quantize_parameter(*ready.model, plan, ready.options);
  auto& q = std::get<QuantizedTensor>(w);
  q.scheme = *plan.scheme;
  const auto threshold = static_cast<float>(ready.options.outlier_threshold);
  if (q.scheme.activations == ActivationType::a8_static)
    q.activation = ready.static_scales.at(plan.spec.name);
  else if (q.scheme.activations == ActivationType::a8_outlier)
    q.activation = Tensor::from<float>(Shape{1}, std::span(&threshold, 1));
  return w;
}

std::string hash_of(const CalibrationText& text) {
  TensorMap tensors;
  for (size_t i = 0; i < text.samples.size(); ++i) {
    const auto& ids = text.samples[i];
    tensors.emplace(fmt::format("{}", i),
                    Tensor::from<int32_t>(Shape{static_cast<int64_t>(ids.size())}, ids));
  }
  return content_hash(MemorySource(std::move(tensors)));
}

// Everything that the bytes of a calibrated run depend on.
std::string fingerprint(const ModelFolder& model, const QuantizeOptions& options,
                        const std::string& calibration_hash) {
  JsonWriter out;
  out.begin_object().field("nibble_version", version());
  write_recipe(options, out);
  out.field("model", content_hash(*model.tensors)).field("calibration", calibration_hash);
  return out.end_object().finish();
}

// True where a run that was stopped left nothing to be done.
bool all_there(const Prepared& ready, const LayerStore& store) {
  return std::all_of(ready.plans.begin(), ready.plans.end(), [&](const ParameterPlan& p) {
    return !p.scheme || p.spec.layer < 0 || store.has(p.spec.layer);
  });
}

void walk(const ModelFolder& original, const Prepared& ready, LayerStore& store, const Exec& exec) {
  naming_model(original, [&] {
    OutputMetrics metrics;
    if (method(ready.options.method).needs == Calibration::fisher && !all_there(ready, store))
      metrics = output_metrics(
          *ready.model, *ready.text,
          {.bf16_width = ready.options.bf16_width, .spill_folder = ready.options.spill_folder},
          exec);
    walk_blocks(*ready.model, walked_plans(ready.plans), ready.options, *ready.text, metrics, store,
                exec);
  });
}

// OUT.resume, which the caller removes when all is written.
std::unique_ptr<FolderStore> open_store(const ModelFolder& original, const std::string& out,
                                        const QuantizeOptions& options, QuantizeResult& result) {
  auto store = std::make_unique<FolderStore>(
      out + ".resume", fingerprint(original, options, result.calibration_hash), options.resume,
      result.warnings);
  result.resumed_layers = store->layers_found();
  return store;
}

void note_layers(const LayerStore& store, QuantizeResult& result) {
  result.layers = store.reports();
  for (const LayerReport& r : result.layers) {
    if (!r.note.empty())
      result.warnings.push_back(fmt::format("tensor {}: {}", in_quotes(r.name), r.note));
  }
}

// Runs `work`. Where it fails, finished layers stay if a second run could use them: not where the
// model is what is wrong, since a mended one is another (what --strict refuses may be allowed).
void keeping_useful_layers(FolderStore* store, const QuantizeOptions& options,
                           const std::function<void()>& work) {
  try {
    work();
  } catch (const Error& e) {
    if (store != nullptr) store->fail(e.kind() != ErrorKind::corrupt || options.strict);
    throw;
  }
}

void note_calibration(const CalibrationText& text, QuantizeResult& result) {
  result.calibration =
      fmt::format("{}, {}, {}", text.source, counted(std::ssize(text.samples), "sample"),
                  counted(text.tokens(), "token"));
  result.calibration_hash = hash_of(text);
}

void count(const ParameterPlan& plan, QuantizeResult& result) {
  if (!plan.candidate) return;
  ++(plan.scheme ? result.quantized : result.kept);
  ++result.stored[plan.scheme ? to_string(*plan.scheme) : std::string(to_string(plan.dtype))];
}

// All parameters into `folder`; calibrated ones from the store, null where there are none.
void write_weights(const std::string& in, const std::string& folder, const Prepared& ready,
                   const FolderStore* finished, QuantizeResult& result, const Exec& exec) {
  const auto nothing = memory_store();
  const LayerStore& store = finished ? static_cast<const LayerStore&>(*finished) : *nothing;
  std::vector<WritableParameter> parameters;
  int64_t done = 0;
  for (const ParameterPlan& plan : ready.plans) {
    count(plan, result);
    parameters.push_back({plan.spec, plan.scheme, plan.dtype, [&, plan]() -> Weight {
                            exec.check_stop();
                            exec.report({finished ? "write" : "quantize", ++done,
                                         static_cast<int64_t>(ready.plans.size()), plan.spec.name});
                            return naming_file(in, [&] {
                              Weight w = finished_weight(ready, plan, store);
                              release_weight(*ready.model, plan.spec);
                              return w;
                            });
                          }});
  }
  result.file_bytes = write_model_like(*ready.model, folder, parameters);
  result.bits_per_weight = planned_bits_per_weight(ready.plans, ready.options.scale_dtype);
}

void require_storable(const QuantizeOptions& options) {
  if (!options.scheme.is_float()) require_expressible(options.scheme);
  for (const SetRule& r : options.set) {
    if (!r.scheme.is_float()) require_expressible(r.scheme);
  }
}

}  // namespace

QuantizeResult quantize_model(const std::string& in, const std::string& out,
                              const QuantizeOptions& options, const Exec& exec,
                              const CalibrationText* text) {
  const std::string inputs[] = {in};
  refuse_same_file(out, inputs);
  const ModelFolder model = open_model(in);
  check_options(model, options);
  require_storable(without_steps(options));
  QuantizeResult result;
  result.warnings = model.warnings;
  AtomicFolder folder(out, options.force);
  const Prepared ready = prepare(model, out, options, text, result, exec);
  if (ready.text) note_calibration(*ready.text, result);
  std::unique_ptr<FolderStore> finished;
  if (is_calibrated(ready.options)) finished = open_store(model, out, options, result);
  keeping_useful_layers(finished.get(), options, [&] {
    if (finished) {
      walk(model, ready, *finished, exec);
      note_layers(*finished, result);
    }
    write_weights(in, folder.path(), ready, finished.get(), result, exec);
    result.input_file_bytes = model.tensors->file_bytes();
    write_provenance(folder.path(), model, options, result);
    folder.commit();
  });
  if (finished) finished->remove();
  return result;
}

ModelFolder quantize_in_memory(const ModelFolder& model, const QuantizeOptions& options,
                               const Exec& exec, const CalibrationText* text) {
  check_options(model, options);
  QuantizeResult result;
  TensorMap tensors;
  SchemeMap schemes;
  const Prepared ready = prepare(model, "", options, text, result, exec);
  const auto store = memory_store();
  if (is_calibrated(ready.options)) walk(model, ready, *store, exec);
  for (const ParameterPlan& plan : ready.plans) {
    exec.check_stop();
    const Weight w = finished_weight(ready, plan, *store);
    release_weight(*ready.model, plan.spec);
    if (const auto* q = std::get_if<QuantizedTensor>(&w)) {
      schemes[module_of(plan.spec.name)] = q->scheme;
      for (NamedTensor& t : to_tensors(plan.spec.name, *q))
        tensors.emplace(t.name, std::move(t.tensor));
    } else {
      tensors.emplace(plan.spec.name, std::get<Tensor>(w));
    }
  }
  result.warnings.insert(result.warnings.begin(), model.warnings.begin(), model.warnings.end());
  return {
      model.path,         ready.model->config, std::make_unique<MemorySource>(std::move(tensors)),
      std::move(schemes), model.tokenizer,     std::move(result.warnings)};
}

}  // namespace nibble
