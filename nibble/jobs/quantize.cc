#include "nibble/jobs/quantize.h"

#include "nibble/compress/given_importance.h"
#include "nibble/compress/method_chain.h"
#include "nibble/compress/unread_options.h"
#include "nibble/compress/untie.h"
#include "nibble/core/error.h"
#include "nibble/model/hf_cache.h"
#include "nibble/model/plain_model.h"

namespace nibble {
namespace {

void note_unread(const QuantizeJob& job, std::vector<std::string>& warnings) {
  const std::string unread = unread_options(job.options, job.given);
  if (!unread.empty()) warnings.insert(warnings.begin(), unread);
}

}  // namespace

QuantizeResult quantize(const QuantizeJob& job, const Exec& exec, const NoticeHook& tell) {
  const std::string model = resolve_model(job.model);  // an error of which comes before any notice
  if (tell && reads_text(job.options) && job.options.calibration.text.empty())
    tell({Notice::Kind::own_text, {std::string(kGeneratedText)}});
  QuantizeResult out = quantize_model(model, job.out, job.options, exec);
  note_unread(job, out.warnings);
  return out;
}

QuantizePlan plan(const QuantizeJob& job, const Exec& exec) {
  Model model = quantization_source(resolve_model(job.model), job.options, exec.threads);
  QuantizePlan out;
  const QuantizeOptions options = options_for_output(model, job.out, job.options);
  check_options(options);
  const QuantizeOptions last = without_steps(options);
  require_plans(model, last);
  if (auto untied = untied_model(model, last, out.warnings)) model = std::move(*untied);
  const auto plans = plan_quantization(model, last, out.warnings);
  if (!last.importance_file.empty()) GivenImportance(last.importance_file, plans, out.warnings);
  note_unread(job, out.warnings);
  out.bits_per_weight = planned_bits_per_weight(plans, last.scale_dtype);
  out.estimate = estimate_quantization(model, plans, last, exec.threads);
  out.writes_text = out.estimate.tokens > 0 && job.options.calibration.text.empty();
  return out;
}

QuantizeOptions auto_options() {
  QuantizeOptions out;
  out.scheme = parse_scheme("int4:g32");
  out.method = kBestMethod;
  return out;
}

AutoResult choose_bits(const AutoJob& job, const Exec& exec) {
  const BitBudget& b = job.budget;
  if (b.bits.has_value() + b.max_kl.has_value() + b.max_size.has_value() != 1)
    throw invalid_argument("give one budget: `bits` 4.5, `max_kl` 0.01 or `max_size` 300MB");
  return auto_quantize(resolve_model(job.model), job.out, b, job.options, exec);
}

}  // namespace nibble
