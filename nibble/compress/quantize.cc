#include "nibble/compress/quantize.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/compress/finished_layers.h"
#include "nibble/compress/gguf_mixture.h"
#include "nibble/compress/joint_magnitude.h"
#include "nibble/compress/kept_codes.h"
#include "nibble/compress/method_chain.h"
#include "nibble/compress/model_output.h"
#include "nibble/compress/prepare.h"
#include "nibble/compress/provenance.h"
#include "nibble/compress/untie.h"
#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/hash.h"
#include "nibble/core/in_file.h"
#include "nibble/core/posix.h"
#include "nibble/core/same_file.h"
#include "nibble/core/version.h"
#include "nibble/format/gguf_write.h"
#include "nibble/model/adapted_model.h"
#include "nibble/model/file_size.h"
#include "nibble/model/plain_model.h"
#include "nibble/model/write_gguf.h"
#include "nibble/quant/method.h"
#include "nibble/quant/number.h"
#include "nibble/quant/range_loss.h"

namespace nibble {

Model quantization_source(const std::string& in, const QuantizeOptions& options, int threads) {
  return plain_model(merged_model(open_model(in), parse_adapters(options.adapters), threads));
}

QuantizeOptions options_for_output(const Model& model, const std::string& out,
                                   QuantizeOptions options) {
  std::vector<OutputFormat> formats;
  for (const OutputTarget& t : output_targets(out, options.formats)) formats.push_back(t.format);
  options.formats = formats;
  const auto files = std::count_if(formats.begin(), formats.end(),
                                   [](const OutputFormat& f) { return f.in_gguf; });
  options.in_gguf = files > 0;
  if (options.type.empty()) return options;
  if (files != std::ssize(formats))
    throw invalid_argument("`type` is a mixture of GGUF's types: name the output NAME.gguf");
  use_mixture(options.type, model.decoder_config(), options);
  return options;
}

void check_options(const QuantizeOptions& options) {
  parse_method_chain(options.method);
  for (const std::string& what : options.also) {
    if (what != "lm_head" && what != "embeddings") {
      throw invalid_argument(fmt::format("`also` {}: use lm_head or embeddings", in_quotes(what)));
    }
  }
  require_importance_method(options);
}

Tensor narrowed(const Tensor& w, DType dtype, std::string_view name) {
  Tensor out = convert(w, dtype);
  if (dtype == DType::f32 || plainly_finite(out) || !plainly_finite(w)) return out;
  throw corrupt(fmt::format("holds weights beyond the range of {}: store it as {}",
                            to_string(dtype), dtype == DType::f16 ? "bf16 or f32" : "f32"))
      .at("tensor " + in_quotes(name));
}

namespace {

// Says what the type of a parameter, or of its scales, was too narrow for.
void note_range(const Model& model, const ParameterPlan& plan, const Weight& w,
                QuantizeResult& result) {
  const auto original = [&] { return model.weights->get(plan.spec.name).plain(); };
  const std::string lost =
      w.is_quantized() ? range_loss(w.quantized(), original) : range_loss(w.plain(), original);
  if (!lost.empty())
    result.warnings.push_back(fmt::format("tensor {}: {}", in_quotes(plan.spec.name), lost));
}

}  // namespace

Weight quantize_parameter(const Model& model, const ParameterPlan& plan,
                          const QuantizeOptions& options, int threads) {
  const Tensor w = model.weights->get(plan.spec.name).plain();
  if (!plan.scheme) {
    refuse_nonfinite(w, plan.spec.name);
    return w.dtype() == plan.dtype ? w : narrowed(w, plan.dtype, plan.spec.name);
  }
  MethodOptions tuning = options.tuning;
  tuning.scale_dtype = options.scale_dtype;
  tuning.half_step_divisor = options.half_step_divisor;
  if (number(*plan.scheme).scales->super == SuperScale::tensor)
    tuning.joint_magnitude = joint_magnitude(model, plan.spec);
  const bool blind = method(options.method).needs == Calibration::nothing;
  tuning.clip = tuning.clip || (!blind && !plan.scheme->has_codebook());
  const Method& chosen = method(blind ? options.method : "rtn");
  return chosen.quantize({w, *plan.scheme, tuning, plan.spec.name, nullptr, threads}).weight;
}

// GGUF's types have a file of their own.
void require_folder_scheme(const QuantScheme& scheme) {
  require_makeable(scheme);
  if (number(scheme).block.bytes > 0)
    throw unsupported(
        fmt::format("{} cannot be stored in a Hugging Face folder: name the output NAME.gguf",
                    to_string(scheme)));
  require_expressible(scheme);
}

namespace {

std::string hash_of(const CalibrationText& text) {
  TensorMap tensors;
  for (size_t i = 0; i < text.samples.size(); ++i) {
    const auto& ids = text.samples[i];
    tensors.emplace(fmt::format("{}", i),
                    Tensor::from<int32_t>(Shape{static_cast<int64_t>(ids.size())}, ids));
  }
  return content_hash(MemorySource(std::move(tensors)));
}

// In one line: there may be thousands.
void note_rare_experts(QuantizeResult& result) {
  int64_t all = 0, rare = 0, fewest = 0;
  double most = 0;
  for (const LayerReport& r : result.layers) {
    all += r.expert >= 0 ? 1 : 0;
    if (r.mixed == 0) continue;
    fewest = rare++ == 0 ? r.tokens : std::min(fewest, r.tokens);
    most = std::max(most, r.mixed);
  }
  if (rare == 0) return;
  result.warnings.push_back(fmt::format(
      "{} of {} of experts saw fewer tokens than they have inputs, the rarest {}: up to {:.0f} % "
      "of "
      "their statistics are of all tokens, each counted by the router's probability (nibble.json "
      "has them one by one; give more text)",
      rare, counted(all, "matrix", "matrices"), fewest, 100 * most));
}

void note_layers(const LayerStore& store, QuantizeResult& result) {
  result.layers = store.reports();
  for (const LayerReport& r : result.layers) {
    if (!r.note.empty() && r.mixed == 0)
      result.warnings.push_back(fmt::format("tensor {}: {}", in_quotes(r.name), r.note));
  }
  note_rare_experts(result);
}

void note_importance(const GivenImportance& importance, QuantizeResult& result) {
  result.importance = importance.source();
  result.calibration = importance.description();
  result.calibration_hash = importance.source().hash;
}

void note_calibration(const CalibrationText& text, QuantizeResult& result) {
  result.calibration =
      fmt::format("{}, {}, {}", text.source, counted(std::ssize(text.samples), "sample"),
                  counted(text.tokens(), "token"));
  result.calibration_hash = hash_of(text);
}

void count(const ParameterPlan& plan, QuantizeResult& result) {
  const int64_t numbers = plan.spec.shape.elements();
  result.parameters += numbers;
  if (plan.written()) result.parameters_quantized += numbers;
  if (!plan.candidate) return;
  ++(plan.scheme ? result.quantized : result.kept);
  ++result.stored[plan.scheme ? to_string(*plan.scheme) : std::string(to_string(plan.dtype))];
}

// What the weights of an output are made of; it outlives them.
struct Making {
  const std::string& in;
  const Prepared& ready;
  const LayerStore& store;
  std::string_view stage;  // for progress
  QuantizeResult* told;    // what is odd about weights is noted there; null: it has been
};

// All parameters, made when they are written.
std::vector<WritableParameter> to_be_written(const Making& making, ExportCheck& check,
                                             const Exec& exec) {
  std::vector<WritableParameter> parameters;
  const auto done = std::make_shared<int64_t>(0);
  const Prepared& ready = making.ready;
  for (const ParameterPlan& plan : ready.plans) {
    parameters.push_back(
        {plan.spec, plan.written(), plan.dtype, [&, making, plan, done]() -> Weight {
           exec.check_stop();
           exec.report(
               {making.stage, ++*done, static_cast<int64_t>(ready.plans.size()), plan.spec.name});
           return naming_file(making.in, [&] {
             Weight w = plan.left_in ? with_kept_codes(ready.model->as_stored->get(plan.spec.name),
                                                       *plan.left_in)
                                     : finished_weight(ready, plan, making.store, exec.threads);
             if (!plan.left_in && making.told != nullptr)
               note_range(*ready.model, plan, w, *making.told);
             ready.model->weights->release(plan.spec.name);
             check.note(plan.spec.name, w, exec.threads);
             return w;
           });
         }});
  }
  return parameters;
}

void require_storable(const QuantizeOptions& options) {
  const OutputFormat& first = options.formats.front();
  if (!options.in_gguf && (first.layout != nullptr || first.in_onnx)) return;  // by their plans
  const auto require = options.in_gguf ? require_gguf_type : require_folder_scheme;
  if (!options.scheme.is_float()) require(options.scheme);
  for (const SetRule& r : options.set) {
    if (!r.scheme.is_float()) require(r.scheme);
  }
}

}  // namespace

void require_plans(const Model& model, const QuantizeOptions& options) {
  require_storable(options);
  std::vector<std::string> said;
  const auto untied = untied_model(model, options, said);
  const Model& written = untied ? *untied : model;
  std::vector<WritableParameter> parameters;
  for (const ParameterPlan& p : plan_quantization(written, options, said))
    parameters.push_back({p.spec, p.written(), p.dtype, nullptr});
  for (const OutputFormat& f : options.formats) require_format(written, parameters, f);
}

namespace {

// The outputs, each of which can still be made; errors before any work.
std::vector<std::unique_ptr<ModelOutput>> open_outputs(const std::vector<OutputTarget>& targets,
                                                       bool force, AtomicFolder* folder) {
  std::vector<std::unique_ptr<ModelOutput>> out;
  out.reserve(targets.size());
  for (const OutputTarget& t : targets)
    out.push_back(std::make_unique<ModelOutput>(t, force, targets.size() == 1 ? folder : nullptr));
  return out;
}

// Several outputs have the same to say: of what has been added since there were `told` lines, those
// that stand there already go.
void tell_once(std::vector<std::string>& lines, std::ptrdiff_t told) {
  const auto before = lines.begin() + told;
  lines.erase(std::remove_if(before, lines.end(),
                             [&](const std::string& line) {
                               return std::find(lines.begin(), before, line) != before;
                             }),
              lines.end());
}

// Writes one of the outputs; the first is looked at where options.verify asks.
void write_output(const Model& model, const QuantizeOptions& options, const Making& making,
                  const OutputTarget& target, ModelOutput& output, QuantizeResult& result,
                  const Exec& exec) {
  ExportCheck check;
  const auto parameters = to_be_written(making, check, exec);
  const auto verify = [&](const Model& written) {
    if (options.verify && !result.verified) result.verified = verify_logits(model, written, exec);
  };
  const auto about = [&](int64_t bytes) {
    result.file_bytes = bytes;
    return provenance(model, options, result);
  };
  const auto told = std::ssize(result.warnings);
  const int64_t bytes = output.write({*making.ready.model, parameters, check, options.type, verify},
                                     about, result.warnings, exec);
  tell_once(result.warnings, told);
  result.written.push_back({target.path, target.format.name, bytes});
}

}  // namespace

QuantizeResult quantize_model(const std::string& in, const std::string& out,
                              const QuantizeOptions& given, const Exec& exec, const Known& known) {
  std::vector<std::string> inputs = {in, given.calibration.text, given.importance_file};
  for (const AdapterChoice& a : parse_adapters(given.adapters)) inputs.push_back(a.path);
  refuse_same_file(resume_folder(out), inputs);
  for (const OutputTarget& t : output_targets(out, given.formats)) refuse_same_file(t.path, inputs);
  const Model model = quantization_source(in, given, exec.threads);
  const QuantizeOptions options = options_for_output(model, out, given);
  check_options(options);
  require_plans(model, without_steps(options));
  QuantizeResult result;
  result.warnings = model.warnings;
  const auto targets = output_targets(out, options.formats);
  const auto outputs = open_outputs(targets, options.force, known.folder);
  if (is_calibrated(without_steps(options))) FolderStore::refuse_foreign(resume_folder(out));
  const Prepared ready = prepare(model, out, options, known, result, exec);
  result.bits_per_weight = planned_bits_per_weight(ready.plans, ready.options.scale_dtype);
  result.input_file_bytes = model.weights->file_bytes();
  for (const ParameterPlan& plan : ready.plans) count(plan, result);
  if (ready.text) note_calibration(*ready.text, result);
  if (ready.importance) note_importance(*ready.importance, result);
  std::unique_ptr<FolderStore> finished;
  if (is_calibrated(ready.options)) finished = open_layers(model, out, options, result);
  keeping_useful_layers(finished.get(), options, [&] {
    if (finished) {
      quantize_layers(model, ready, *finished, exec);
      note_layers(*finished, result);
    }
    const auto nothing = memory_store();
    const LayerStore& store = finished ? static_cast<const LayerStore&>(*finished) : *nothing;
    Making making{in, ready, store, finished ? "write" : "quantize", &result};
    for (size_t i = 0; i < targets.size(); ++i) {
      write_output(model, options, making, targets[i], *outputs[i], result, exec);
      making.told = nullptr;
    }
  });
  if (finished) finished->remove();
  result.file_bytes = result.written.front().file_bytes;
  return result;
}

Model quantize_in_memory(const Model& given, QuantizeOptions options, const Exec& exec,
                         const Known& known) {
  const Model model = plain_model(given);
  options.in_memory = true;
  check_options(options);
  QuantizeResult result;
  WeightMap weights;
  std::vector<WritableParameter> parameters;
  const Prepared ready = prepare(model, "", options, known, result, exec);
  const auto store = memory_store();
  if (is_calibrated(ready.options)) quantize_layers(model, ready, *store, exec);
  for (const ParameterPlan& plan : ready.plans) {
    exec.check_stop();
    Weight w = naming_file(model.path, [&] {
      if (plan.left_in) return ready.model->as_stored->get(plan.spec.name);
      Weight made = finished_weight(ready, plan, *store, exec.threads);
      note_range(*ready.model, plan, made, result);
      return made;
    });
    ready.model->weights->release(plan.spec.name);
    weights.emplace(plan.spec.name, std::move(w));
    parameters.push_back({plan.spec, plan.written(), plan.dtype, nullptr});
  }
  result.warnings.insert(result.warnings.begin(), model.warnings.begin(), model.warnings.end());
  return {model.path, ready.model->config,
          weights_in_memory(std::move(weights), planned_file_bytes(parameters)), model.companions,
          std::move(result.warnings)};
}

}  // namespace nibble
