// What becomes of each parameter, decided before anything is computed.
#include <fmt/format.h>

#include <algorithm>

#include "nibble/compress/kept_codes.h"
#include "nibble/compress/quantize.h"
#include "nibble/compress/untie.h"
#include "nibble/core/in_file.h"
#include "nibble/format/gguf_write.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/static_activations.h"

namespace nibble {
namespace {

template <class Rule>
const Rule* rule_for(std::string_view name, const std::vector<Rule>& rules) {
  for (const Rule& r : rules) {
    if (glob_match(r.pattern, name) || glob_match(r.pattern, module_of(name))) return &r;
  }
  return nullptr;
}

[[noreturn]] void refuse_rule(std::string_view option, std::string_view pattern,
                              std::string_view why) {
  throw invalid_argument(fmt::format("{} {}: {}", option, in_quotes(pattern), why));
}

bool fits(std::string_view pattern, const ParamSpec& p) {
  return glob_match(pattern, p.name) || glob_match(pattern, module_of(p.name));
}

// A rule without effect is a mistake: it names no tensor, or none that it can do anything to, or
// only such as rules before it decide.
template <class Rule>
void check_rules_match(std::string_view option, const std::vector<Rule>& rules,
                       const std::vector<ParamSpec>& table, const Model& model,
                       const std::vector<KeepRule>& before, bool of_matrices) {
  for (const Rule& r : rules) {
    bool named = false, usable = false, used = false;
    for (const ParamSpec& p : table) {
      if (!fits(r.pattern, p)) continue;
      named = true;
      if (of_matrices && !p.is_matrix()) continue;
      usable = true;
      used = used || (rule_for(p.name, rules) == &r && rule_for(p.name, before) == nullptr);
    }
    if (used) continue;
    if (usable)
      refuse_rule(option, r.pattern,
                  "rules before it decide all that it names (the first that fits a tensor counts, "
                  "and `keep` before `set`)");
    if (named) refuse_rule(option, r.pattern, "no matrix has such a name; gains and biases stay");
    const std::string hint = tied_head_hint(model, r.pattern);
    refuse_rule(option, r.pattern,
                hint.empty() ? "no tensor has such a name (`nibble inspect` lists them)" : hint);
  }
}

// DESIGN section 8 "Coverage": the Linear layers inside the blocks; small models of our own: every
// matrix.
bool covered(const Model& model, const ParamSpec& spec, const QuantizeOptions& options) {
  const auto asked = [&](std::string_view what) {
    return std::find(options.also.begin(), options.also.end(), what) != options.also.end();
  };
  if (!spec.is_matrix()) return false;
  // llama.cpp's files have positions in F32.
  if (options.in_gguf && spec.role == Role::position_embedding) return false;
  if (spec.layer >= 0 || covers_every_matrix(model.config)) return true;
  return spec.role == Role::lm_head ? asked("lm_head") : asked("embeddings");
}

// Tables are read, not multiplied: there are no inputs.
bool is_table(Role role) {
  return role == Role::token_embedding || role == Role::position_embedding;
}

// Inputs that are whole blocks of the type that holds the scheme.
bool fits_gguf(const QuantScheme& scheme, int64_t inputs) {
  const GgufType* type = gguf_type_of(scheme);
  return type != nullptr && inputs % type->elements == 0;
}

// What a quantized source stores in codes and nothing is said about: it stays in them where the
// output can hold them.
void leave_as_stored(const Model& model, const QuantizeOptions& options, ParameterPlan& plan,
                     std::vector<std::string>& warnings) {
  if (model.as_stored == nullptr) return;
  const auto scheme = model.as_stored->stored_as(plan.spec.name).scheme;
  if (!scheme) return;  // or a step has changed it
  if (options.in_memory) {
    plan.left_in = scheme;
    return;
  }
  const Weight w = naming_file(model.path, [&] { return model.as_stored->get(plan.spec.name); });
  if (const auto kept = kept_codes(plan.spec, w.quantized(), options.formats)) {
    plan.left_in = kept->scheme;
    plan.dtype = kept->scale_dtype;
    return;
  }
  warnings.push_back(fmt::format("tensor {}: {}, which it is stored in, cannot be kept there: {}",
                                 in_quotes(plan.spec.name), to_string(*scheme),
                                 to_string(plan.dtype)));
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
        fmt::format("`keep` {}: behind '=' stands f32, f16 or bf16", in_quotes(text)));
  return {std::string(text.substr(0, equals)), dtype};
}

SetRule parse_set_rule(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0)
    throw invalid_argument(
        fmt::format("`set` {}: write PATTERN=SCHEME, such as '*layers.0.*=int8'", in_quotes(text)));
  return {std::string(text.substr(0, equals)), parse_scheme(text.substr(equals + 1))};
}

std::vector<ParameterPlan> plan_quantization(const Model& model, const QuantizeOptions& options,
                                             std::vector<std::string>& warnings) {
  const std::vector<ParamSpec> table = parameter_table(model.config);
  check_rules_match("`keep`", options.keep, table, model, {}, false);
  check_rules_match("`set`", options.set, table, model, options.keep, true);
  std::vector<ParameterPlan> out;
  for (const ParamSpec& spec : table) {
    ParameterPlan plan{spec, covered(model, spec, options), std::nullopt,
                       model.weights->stored_as(spec.name).dtype};
    const KeepRule* keep = rule_for(spec.name, options.keep);
    const SetRule* set = spec.is_matrix() ? rule_for(spec.name, options.set) : nullptr;
    const QuantScheme& scheme = set != nullptr ? set->scheme : options.scheme;
    plan.candidate = plan.candidate || set != nullptr;
    if (keep != nullptr) {
      plan.dtype = keep->dtype.value_or(plan.dtype);
      if (!keep->dtype) leave_as_stored(model, options, plan, warnings);
    } else if (plan.candidate && scheme.is_float()) {
      plan.dtype = *parse_dtype(to_string(scheme));
    } else if (plan.candidate) {
      plan.scheme = storable_scheme(scheme, spec.shape[1]);
      if (is_table(spec.role) && needs_number(*plan.scheme))
        plan.scheme->activations = ActivationType::none;
      plan.dtype = options.scale_dtype;
      if (options.in_gguf && !fits_gguf(*plan.scheme, spec.shape[1])) {
        plan.scheme.reset();
        plan.dtype = DType::f16;
        warnings.push_back(
            fmt::format("tensor {}: its {} inputs are no whole blocks: stored as f16",
                        in_quotes(spec.name), spec.shape[1]));
      } else if (plan.scheme->type != scheme.type || plan.scheme->group != scheme.group) {
        warnings.push_back(fmt::format(
            "tensor {}: a group of {} does not divide its {} inputs: stored as {}",
            in_quotes(spec.name), scheme.group, spec.shape[1], to_string(*plan.scheme)));
      }
    } else {
      leave_as_stored(model, options, plan, warnings);
    }
    out.push_back(std::move(plan));
  }
  return out;
}

double planned_bits_per_weight(const std::vector<ParameterPlan>& plans, DType scale_dtype) {
  double bytes = 0, weights = 0;
  for (const ParameterPlan& p : plans) {
    if (!p.candidate) continue;
    const int64_t n = p.spec.shape[0], k = p.spec.shape[1];
    bytes += static_cast<double>(p.written() ? planned_bytes(*p.written(), n, k, scale_dtype)
                                             : n * k * size_of(p.dtype));
    weights += static_cast<double>(n * k);
  }
  return weights > 0 ? 8 * bytes / weights : 0;
}

}  // namespace nibble
