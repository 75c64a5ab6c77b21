#include "nibble/compress/merge.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/compress/kept_codes.h"
#include "nibble/compress/model_output.h"
#include "nibble/compress/provenance.h"
#include "nibble/compress/quantize.h"
#include "nibble/core/error.h"
#include "nibble/core/in_file.h"
#include "nibble/core/same_file.h"
#include "nibble/model/adapted_model.h"
#include "nibble/model/plain_model.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

// The type that every matrix is to have, or the scheme of those that are covered.
struct MergeGoal {
  std::optional<DType> dtype;
  std::optional<QuantScheme> scheme;
};

MergeGoal goal_of(const std::string& to) {
  if (to.empty()) return {};
  const QuantScheme scheme = parse_scheme(to);
  if (scheme.is_float()) return {parse_dtype(to), std::nullopt};
  return {std::nullopt, scheme};
}

class Merging {
 public:
  Merging(const Model& base, const OutputTarget& target, const MergeOptions& options,
          const Exec& exec)
      : adapters_(parse_adapters(options.adapters)),
        beside_(with_adapters(base, adapters_, &changed_)),
        merged_(plain_model(merged_model(base, adapters_, exec.threads))),
        target_(target),
        options_(options),
        exec_(exec) {}

  MergedOutput run() {
    result_.warnings = beside_.warnings;
    result_.changed = std::ssize(changed_);
    make_plans();
    require_format(merged_, parameters_, target_.format);
    ModelOutput output(target_, options_.force);
    result_.path = target_.path;
    result_.input_file_bytes = merged_.weights->file_bytes();
    result_.file_bytes = output.write(
        {merged_, parameters_, check_},
        [this](int64_t) { return copy_provenance(beside_, options_.command, options_.adapters); },
        result_.warnings, exec_);
    return std::move(result_);
  }

 private:
  void make_plans() {
    const MergeGoal goal = goal_of(options_.to);
    if (goal.scheme) {
      QuantizeOptions q;
      q.scheme = *goal.scheme;
      q.formats = {target_.format};
      q.in_gguf = target_.format.in_gguf;
      require_plans(merged_, q);
      for (ParameterPlan& plan : plan_quantization(merged_, q, result_.warnings)) add(plan);
      return;
    }
    for (const ParamSpec& spec : parameter_table(merged_.config)) add(plan_of(spec, goal.dtype));
  }

  // As the base stores it, or in `to`.
  ParameterPlan plan_of(const ParamSpec& spec, const std::optional<DType>& to) {
    const StoredAs stored = beside_.weights->stored_as(spec.name);
    ParameterPlan plan{spec, false, std::nullopt, stored.scheme ? DType::f16 : stored.dtype};
    if (to && spec.is_matrix()) plan.dtype = *to;
    if (!stored.scheme || to) return plan;
    QuantizedTensor codes = base_codes(spec);
    const bool anew = is_changed(spec.name);
    if (anew) codes.input_order.reset();  // codes that are chosen need none
    const auto kept = kept_codes(spec, codes, {&target_.format, 1});
    if (!kept) {
      result_.warnings.push_back(
          fmt::format("tensor {}: {}, which the base stores it in, cannot be kept there: {}",
                      in_quotes(spec.name), to_string(*stored.scheme), to_string(plan.dtype)));
      return plan;
    }
    if (anew) require_chosen(spec, kept->scheme);
    (anew ? plan.scheme : plan.left_in) = kept->scheme;
    plan.dtype = kept->scale_dtype;
    return plan;
  }

  QuantizedTensor base_codes(const ParamSpec& spec) const {
    const Weight w = naming_file(beside_.path, [&] { return beside_.weights->get(spec.name); });
    beside_.weights->release(spec.name);
    return w.base().quantized();
  }

  void require_chosen(const ParamSpec& spec, const QuantScheme& scheme) const {
    try {
      require_makeable(scheme);
    } catch (Error& e) {
      throw unsupported(fmt::format("{}; choose another one with `to`", e.reason()))
          .at("tensor " + in_quotes(spec.name))
          .in_file(beside_.path);
    }
  }

  bool is_changed(const std::string& name) const {
    return std::find(changed_.begin(), changed_.end(), name) != changed_.end();
  }

  void add(const ParameterPlan& plan) {
    if (plan.spec.is_matrix())
      ++result_.stored[plan.written() ? to_string(*plan.written())
                                      : std::string(to_string(plan.dtype))];
    result_.quantized += plan.scheme ? 1 : 0;
    parameters_.push_back(
        {plan.spec, plan.written(), plan.dtype, [this, plan] { return made(plan); }});
  }

  Weight made(const ParameterPlan& plan) {
    exec_.check_stop();
    exec_.report({"merge", ++done_, std::ssize(parameters_), plan.spec.name});
    Weight w = naming_file(merged_.path, [&] {
      return plan.left_in ? with_kept_codes(merged_.as_stored->get(plan.spec.name), *plan.left_in)
                          : chosen(plan);
    });
    merged_.weights->release(plan.spec.name);
    check_.note(plan.spec.name, w, exec_.threads);
    return w;
  }

  // Numbers that the base has of a matrix's inputs hold for what it has become.
  Weight chosen(const ParameterPlan& plan) const {
    QuantizeOptions q;
    if (plan.scheme) q.scale_dtype = plan.dtype;
    Weight w = quantize_parameter(merged_, plan, q, exec_.threads);
    if (!plan.scheme) return w;
    w.quantized().scheme = *plan.scheme;
    if (needs_number(*plan.scheme)) w.quantized().activation = base_codes(plan.spec).activation;
    return w;
  }

  const std::vector<AdapterChoice> adapters_;
  std::vector<std::string> changed_;
  const Model beside_, merged_;
  const OutputTarget target_;
  const MergeOptions& options_;
  const Exec& exec_;
  int64_t done_ = 0;
  std::vector<WritableParameter> parameters_;
  ExportCheck check_;
  MergedOutput result_;
};

}  // namespace

MergedOutput merge_adapters(const std::string& in, const std::string& out,
                            const MergeOptions& options, const Exec& exec) {
  if (options.adapters.empty()) throw invalid_argument("`adapter` is needed: what is to be merged");
  (void)goal_of(options.to);
  const OutputTarget target = output_target(out, options.format);
  std::vector<std::string> inputs = {in};
  for (const AdapterChoice& a : parse_adapters(options.adapters)) inputs.push_back(a.path);
  refuse_same_file(target.path, inputs);
  return Merging(open_model(in), target, options, exec).run();
}

}  // namespace nibble
