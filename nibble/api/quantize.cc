#include "nibble/api/quantize.h"

#include <fmt/format.h>

#include <utility>

#include "nibble/api/within.h"
#include "nibble/core/same_file.h"
#include "nibble/jobs/quantize.h"
#include "nibble/model/hf_cache.h"
#include "nibble/report/auto_report.h"
#include "nibble/report/quantize_report.h"

namespace nibble::api {
namespace {

DType scale_dtype_of(const std::string& name) {
  const auto dtype = parse_dtype(name);
  if (dtype != DType::f16 && dtype != DType::bf16 && dtype != DType::f32)
    throw nibble::invalid_argument(
        fmt::format("`scale_dtype` {}: use f16, bf16 or f32", in_quotes(name)));
  return *dtype;
}

// Numbers that the command's reading of its options would refuse.
void check_numbers(const QuantizeOptions& o) {
  if (o.calibration_samples.value_or(1) < 1)
    throw nibble::invalid_argument("`calibration_samples`: expected 1 or more");
  if (o.calibration_length.value_or(2) < 2)
    throw nibble::invalid_argument("`calibration_length`: expected 2 or more");
  if (o.max_memory < 0) throw nibble::invalid_argument("`max_memory`: expected 0 or more");
}

nibble::QuantizeOptions inner(const QuantizeOptions& o) {
  check_numbers(o);
  nibble::QuantizeOptions q;
  for (const std::string& name : o.formats) q.formats.push_back(parse_output_format(name));
  q.scheme = parse_scheme(o.scheme);
  const bool by_importance = !o.importance_file.empty() && o.method == "rtn";
  q.method = by_importance ? "imatrix" : o.method;
  q.scale_dtype = scale_dtype_of(o.scale_dtype);
  for (const std::string& k : o.keep) q.keep.push_back(parse_keep_rule(k));
  for (const std::string& s : o.set) q.set.push_back(parse_set_rule(s));
  q.also = o.also;
  q.type = o.type;
  q.calibration.text = o.calibration_text;
  q.calibration.samples = o.calibration_samples.value_or(q.calibration.samples);
  q.calibration.length = o.calibration_length.value_or(q.calibration.length);
  q.calibration.seed = o.seed.value_or(q.calibration.seed);
  q.importance_file = o.importance_file;
  q.adapters = o.adapters;
  q.max_memory = o.max_memory;
  q.force = o.force;
  q.resume = o.resume;
  q.verify = o.verify;
  q.strict = o.strict;
  return q;
}

std::vector<std::string> given_fields(const QuantizeOptions& o) {
  std::vector<std::string> out;
  if (o.calibration_samples) out.emplace_back("calibration_samples");
  if (o.calibration_length) out.emplace_back("calibration_length");
  if (o.seed) out.emplace_back("seed");
  if (!o.calibration_text.empty()) out.emplace_back("calibration_text");
  return out;
}

// An output that would replace what it is made of.
void refuse_inputs(const std::string& model, const std::string& out, const QuantizeOptions& o) {
  std::vector<std::string> inputs = {resolve_model(model), o.calibration_text, o.importance_file};
  std::erase(inputs, "");
  refuse_same_file(out, inputs);
}

Quantized outer(const nibble::QuantizeResult& r, std::string json) {
  Quantized out{{},         r.file_bytes,   r.input_file_bytes, r.bits_per_weight,
                r.warnings, std::move(json)};
  for (const Written& w : r.written) out.written.push_back(w.path);
  return out;
}

void say_all(const std::vector<std::string>& warnings, const Control& control) {
  if (!control.warning) return;
  for (const std::string& w : warnings) control.warning(w);
}

}  // namespace

Quantized quantize(const std::string& model, const std::string& out, const QuantizeOptions& options,
                   const Control& control) {
  return within([&] {
    const QuantizeJob job{model, out, inner(options), given_fields(options)};
    refuse_inputs(model, out, options);
    const nibble::QuantizeResult r = nibble::quantize(job, exec_of(control));
    say_all(r.warnings, control);
    return outer(r, quantize_json(job, r));
  });
}

Quantized choose_bits(const std::string& model, const std::string& out, const BitBudget& budget,
                      const QuantizeOptions& options, const Control& control) {
  return within([&] {
    nibble::QuantizeOptions q = inner(options);
    if (options.method == "rtn") q.method = kBestMethod;
    refuse_inputs(model, out, options);
    const AutoResult r = nibble::choose_bits(
        {model, out, {budget.bits, budget.max_kl, budget.max_size}, q}, exec_of(control));
    say_all(r.warnings, control);
    return outer(r.written, auto_json(r));
  });
}

}  // namespace nibble::api
