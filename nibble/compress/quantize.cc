#include "nibble/compress/quantize.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/compress/joint_magnitude.h"
#include "nibble/compress/provenance.h"
#include "nibble/core/files.h"
#include "nibble/core/float_formats.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/method.h"

namespace nibble {
namespace {

const KeepRule* rule_for(std::string_view name, const std::vector<KeepRule>& rules) {
  for (const KeepRule& r : rules) {
    if (glob_match(r.pattern, name) || glob_match(r.pattern, module_of(name))) return &r;
  }
  return nullptr;
}

void check_rules_match(const std::vector<KeepRule>& rules, const std::vector<ParamSpec>& table) {
  for (const KeepRule& r : rules) {
    const bool used = std::any_of(table.begin(), table.end(), [&](const ParamSpec& p) {
      return glob_match(r.pattern, p.name) || glob_match(r.pattern, module_of(p.name));
    });
    if (!used) {
      throw invalid_argument(
          fmt::format("--keep {}: no tensor has such a name (`nibble inspect` lists them)",
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

std::vector<ParameterPlan> plan_quantization(const ModelFolder& model,
                                             const QuantizeOptions& options,
                                             std::vector<std::string>& warnings) {
  const std::vector<ParamSpec> table = parameter_table(model.config);
  check_rules_match(options.keep, table);
  std::vector<ParameterPlan> out;
  for (const ParamSpec& spec : table) {
    ParameterPlan plan{spec, covered(model, spec, options.also), std::nullopt,
                       stored_dtype(model, spec.name)};
    const KeepRule* keep = rule_for(spec.name, options.keep);
    if (keep != nullptr) {
      plan.dtype = keep->dtype.value_or(plan.dtype);
    } else if (plan.candidate && options.scheme.is_float()) {
      plan.dtype = *parse_dtype(to_string(options.scheme));
    } else if (plan.candidate) {
      plan.scheme = storable_scheme(options.scheme, spec.shape[1]);
      plan.dtype = options.scale_dtype;
      if (*plan.scheme != options.scheme) {
        warnings.push_back(fmt::format(
            "tensor {}: a group of {} does not divide its {} inputs: stored as {}",
            in_quotes(spec.name), options.scheme.group, spec.shape[1], to_string(*plan.scheme)));
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
  RtnOptions rtn{options.scale_dtype, options.half_step_divisor};
  if (plan.scheme->type == NumberType::nvfp4)
    rtn.joint_magnitude = joint_magnitude(model, plan.spec);
  return method(options.method).quantize(w, options.scheme, rtn, plan.spec.name);
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

QuantizeResult quantize_model(const std::string& in, const std::string& out,
                              const QuantizeOptions& options, const Exec& exec) {
  const std::string inputs[] = {in};
  refuse_same_file(out, inputs);
  const ModelFolder model = open_model(in);
  check_options(model, options);
  if (!options.scheme.is_float()) require_expressible(options.scheme);
  QuantizeResult result;
  const auto plans = plan_quantization(model, options, result.warnings);
  AtomicFolder folder(out, options.force);
  std::vector<WritableParameter> parameters;
  int64_t done = 0;
  for (const ParameterPlan& plan : plans) {
    (plan.scheme ? result.quantized : result.kept) += plan.candidate ? 1 : 0;
    parameters.push_back(
        {plan.spec, plan.scheme, plan.dtype, [&, plan]() -> Weight {
           exec.check_stop();
           exec.report({"quantize", ++done, static_cast<int64_t>(plans.size()), plan.spec.name});
           try {
             Weight w = quantize_parameter(model, plan, options);
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
  return result;
}

ModelFolder quantize_in_memory(const ModelFolder& model, const QuantizeOptions& options,
                               const Exec& exec) {
  check_options(model, options);
  std::vector<std::string> warnings;
  TensorMap tensors;
  SchemeMap schemes;
  for (const ParameterPlan& plan : plan_quantization(model, options, warnings)) {
    exec.check_stop();
    const Weight w = quantize_parameter(model, plan, options);
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
