#include "nibble/compress/quantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "nibble/compress/calibrated_walk.h"
#include "nibble/compress/joint_magnitude.h"
#include "nibble/compress/provenance.h"
#include "nibble/compress/recipe.h"
#include "nibble/core/files.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/hash.h"
#include "nibble/core/version.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/method.h"

namespace nibble {
namespace {

template <class Rule>
const Rule* rule_for(std::string_view name, const std::vector<Rule>& rules) {
  for (const Rule& r : rules) {
    if (glob_match(r.pattern, name) || glob_match(r.pattern, module_of(name))) return &r;
  }
  return nullptr;
}

template <class Rule>
void check_rules_match(std::string_view option, const std::vector<Rule>& rules,
                       const std::vector<ParamSpec>& table) {
  for (const Rule& r : rules) {
    const bool used = std::any_of(table.begin(), table.end(), [&](const ParamSpec& p) {
      return glob_match(r.pattern, p.name) || glob_match(r.pattern, module_of(p.name));
    });
    if (!used) {
      throw invalid_argument(
          fmt::format("{} {}: no tensor has such a name (`nibble inspect` lists them)", option,
                      in_quotes(r.pattern)));
    }
  }
}

DType stored_dtype(const ModelFolder& model, const std::string& name) {
  for (const TensorInfo& i : model.tensors->list()) {
    if (i.name == name) return i.dtype;
  }
  return DType::f32;
}

void check_options(const ModelFolder& model, const QuantizeOptions& options) {
  method(options.method);
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

// DESIGN section 8 "Coverage": the Linear layers inside the blocks; small models of our own: every
// matrix.
bool covered(const ModelFolder& model, const ParamSpec& spec,
             const std::vector<std::string>& also) {
  const auto asked = [&](std::string_view what) {
    return std::find(also.begin(), also.end(), what) != also.end();
  };
  if (!spec.is_matrix()) return false;
  if (spec.layer >= 0 || covers_every_matrix(model.config)) return true;
  return spec.role == Role::lm_head ? asked("lm_head") : asked("embeddings");
}

}  // namespace

bool glob_match(std::string_view pattern, std::string_view name) {
  size_t p = 0, n = 0, star = std::string_view::npos, mark = 0;
  while (n < name.size()) {
    if (p < pattern.size() && (pattern[p] == '?' || (pattern[p] != '*' && pattern[p] == name[n]))) {
      ++p, ++n;
    } else if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      mark = n;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      n = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

KeepRule parse_keep_rule(std::string_view text) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) return {std::string(text), std::nullopt};
  const auto dtype = parse_dtype(text.substr(equals + 1));
  const bool plain = dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
  if (!plain)
    throw invalid_argument(
        fmt::format("--keep {}: behind '=' stands f32, f16 or bf16", in_quotes(text)));
  return {std::string(text.substr(0, equals)), dtype};
}

SetRule parse_set_rule(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0)
    throw invalid_argument(
        fmt::format("--set {}: write PATTERN=SCHEME, such as 'layers.0.*=int8'", in_quotes(text)));
  return {std::string(text.substr(0, equals)), parse_scheme(text.substr(equals + 1))};
}

std::vector<ParameterPlan> plan_quantization(const ModelFolder& model,
                                             const QuantizeOptions& options,
                                             std::vector<std::string>& warnings) {
  const std::vector<ParamSpec> table = parameter_table(model.config);
  check_rules_match("--keep", options.keep, table);
  check_rules_match("--set", options.set, table);
  std::vector<ParameterPlan> out;
  for (const ParamSpec& spec : table) {
    ParameterPlan plan{spec, covered(model, spec, options.also), std::nullopt,
                       stored_dtype(model, spec.name)};
    const KeepRule* keep = rule_for(spec.name, options.keep);
    const SetRule* set = spec.is_matrix() ? rule_for(spec.name, options.set) : nullptr;
    const QuantScheme& scheme = set != nullptr ? set->scheme : options.scheme;
    plan.candidate = plan.candidate || set != nullptr;
    if (keep != nullptr) {
      plan.dtype = keep->dtype.value_or(plan.dtype);
    } else if (plan.candidate && scheme.is_float()) {
      plan.dtype = *parse_dtype(to_string(scheme));
    } else if (plan.candidate) {
      plan.scheme = storable_scheme(scheme, spec.shape[1]);
      plan.dtype = options.scale_dtype;
      if (*plan.scheme != scheme) {
        warnings.push_back(fmt::format(
            "tensor {}: a group of {} does not divide its {} inputs: stored as {}",
            in_quotes(spec.name), scheme.group, spec.shape[1], to_string(*plan.scheme)));
      }
    }
    out.push_back(std::move(plan));
  }
  return out;
}

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

double planned_bits_per_weight(const std::vector<ParameterPlan>& plans, DType scale_dtype) {
  double bytes = 0, weights = 0;
  for (const ParameterPlan& p : plans) {
    if (!p.candidate) continue;
    const int64_t n = p.spec.shape[0], k = p.spec.shape[1];
    bytes += static_cast<double>(p.scheme ? planned_bytes(*p.scheme, n, k, scale_dtype)
                                          : n * k * size_of(p.dtype));
    weights += static_cast<double>(n * k);
  }
  return weights > 0 ? 8 * bytes / weights : 0;
}

namespace {

bool is_calibrated(const QuantizeOptions& options) {
  return method(options.method).needs != Calibration::nothing;
}

// From the store where a calibrated method put it there.
Weight finished_weight(const ModelFolder& model, const ParameterPlan& plan,
                       const QuantizeOptions& options, const LayerStore& store) {
  const bool walked = plan.spec.layer >= 0 || plan.spec.role == Role::lm_head;
  if (is_calibrated(options) && plan.scheme && walked)
    return store.get(plan.spec.layer, plan.spec.name, *plan.scheme);
  return quantize_parameter(model, plan, options);
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

// Calibrates and quantizes into OUT.resume, which the caller removes when all is written.
std::unique_ptr<FolderStore> calibrated_layers(const ModelFolder& model, const std::string& out,
                                               const std::vector<ParameterPlan>& plans,
                                               const QuantizeOptions& options,
                                               QuantizeResult& result, const Exec& exec) {
  const CalibrationText text = calibration_text(model, options.calibration, exec);
  result.calibration =
      fmt::format("{}, {} samples, {} tokens", text.source, text.samples.size(), text.tokens());
  result.calibration_hash = hash_of(text);
  auto store = std::make_unique<FolderStore>(out + ".resume",
                                             fingerprint(model, options, result.calibration_hash),
                                             options.resume, result.warnings);
  result.resumed_layers = store->layers_found();
  walk_blocks(model, plans, options, text, *store, exec);
  result.layers = store->reports();
  for (const LayerReport& r : result.layers) {
    if (!r.note.empty())
      result.warnings.push_back(fmt::format("tensor {}: {}", in_quotes(r.name), r.note));
  }
  return store;
}

}  // namespace

QuantizeResult quantize_model(const std::string& in, const std::string& out,
                              const QuantizeOptions& options, const Exec& exec) {
  const std::string inputs[] = {in};
  refuse_same_file(out, inputs);
  const ModelFolder model = open_model(in);
  check_options(model, options);
  if (!options.scheme.is_float()) require_expressible(options.scheme);
  for (const SetRule& r : options.set) {
    if (!r.scheme.is_float()) require_expressible(r.scheme);
  }
  QuantizeResult result;
  const auto plans = plan_quantization(model, options, result.warnings);
  AtomicFolder folder(out, options.force);
  std::unique_ptr<FolderStore> finished;
  if (is_calibrated(options))
    finished = calibrated_layers(model, out, plans, options, result, exec);
  const auto nothing = memory_store();
  const LayerStore& store = finished ? static_cast<LayerStore&>(*finished) : *nothing;
  std::vector<WritableParameter> parameters;
  int64_t done = 0;
  for (const ParameterPlan& plan : plans) {
    (plan.scheme ? result.quantized : result.kept) += plan.candidate ? 1 : 0;
    parameters.push_back({plan.spec, plan.scheme, plan.dtype, [&, plan]() -> Weight {
                            exec.check_stop();
                            exec.report({finished ? "write" : "quantize", ++done,
                                         static_cast<int64_t>(plans.size()), plan.spec.name});
                            try {
                              Weight w = finished_weight(model, plan, options, store);
                              release_weight(model, plan.spec);
                              return w;
                            } catch (Error& e) {
                              e.set_file(in);
                              throw;
                            }
                          }});
  }
  result.file_bytes = write_model_like(model, folder.path(), parameters);
  result.input_file_bytes = model.tensors->file_bytes();
  result.bits_per_weight = planned_bits_per_weight(plans, options.scale_dtype);
  write_provenance(folder.path(), model, options, result);
  folder.commit();
  if (finished) finished->remove();
  return result;
}

ModelFolder quantize_in_memory(const ModelFolder& model, const QuantizeOptions& options,
                               const Exec& exec) {
  check_options(model, options);
  std::vector<std::string> warnings;
  TensorMap tensors;
  SchemeMap schemes;
  const auto plans = plan_quantization(model, options, warnings);
  const auto store = memory_store();
  if (is_calibrated(options))
    walk_blocks(model, plans, options, calibration_text(model, options.calibration, exec), *store,
                exec);
  for (const ParameterPlan& plan : plans) {
    exec.check_stop();
    const Weight w = finished_weight(model, plan, options, *store);
    if (const auto* q = std::get_if<QuantizedTensor>(&w)) {
      schemes[module_of(plan.spec.name)] = q->scheme;
      for (NamedTensor& t : to_tensors(plan.spec.name, *q))
        tensors.emplace(t.name, std::move(t.tensor));
    } else {
      tensors.emplace(plan.spec.name, std::get<Tensor>(w));
    }
  }
  return {model.path, model.config, std::make_unique<MemorySource>(std::move(tensors)),
          std::move(schemes), model.tokenizer};
}

}  // namespace nibble
