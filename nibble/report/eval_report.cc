#include "nibble/report/eval_report.h"

#include <fmt/format.h>

#include "nibble/core/counted.h"
#include "nibble/core/json.h"
#include "nibble/report/classifier_report.h"
#include "nibble/report/json_report.h"
#include "nibble/report/model_fields.h"

namespace nibble {
namespace {

void write_loss_result(const LossResult& r, JsonWriter& out) {
  out.field("perplexity", r.perplexity)
      .field("mean_nll", r.loss)
      .field("standard_error", r.standard_error);
  out.field("tokens", r.tokens).field("windows", static_cast<int64_t>(r.sequence_nll.size()));
}

void write_comparison(const ComparisonResult& c, JsonWriter& out) {
  Measurement m;
  m.divergence = c.divergence;
  m.loss_difference = c.loss_difference;
  m.loss_difference_standard_error = c.loss_difference_standard_error;
  const ModelRow row{m, m};
  write_fields(
      model_fields(),
      {"kl_mean", "kl_standard_error", "kl_median", "kl_p90", "kl_p99", "kl_p999", "kl_max",
       "top1_agreement", "top1_standard_error", "rms_delta_p", "rms_delta_p_standard_error"},
      row, out);
  out.field("base_mean_nll", c.base.loss);
  write_fields(model_fields(), {"loss_difference", "loss_difference_standard_error"}, row, out);
}

std::string loss_words(const LossResult& r) {
  return fmt::format("perplexity {:.4f}, loss {:.5f} +- {:.5f} nats a token over {} in {}\n",
                     r.perplexity, r.loss, r.standard_error, counted(r.tokens, "token"),
                     counted(std::ssize(r.sequence_nll), "sequence"));
}

std::string comparison_words(const ComparisonResult& c) {
  const Divergence& d = c.divergence;
  return fmt::format(
      "against the baseline: loss {:+.5f} +- {:.5f} nats a token\n"
      "KL {:.6f} +- {:.6f} nats (median {:.6f}, 90 % {:.6f}, 99 % {:.6f}, 99.9 % {:.6f}, largest "
      "{:.6f})\n"
      "same first choice {:.2f} +- {:.2f} %, probability of the right token changes by {:.2f} +- "
      "{:.2f} % (RMS)\n",
      c.loss_difference, c.loss_difference_standard_error, d.kl_mean, d.kl_standard_error,
      d.kl_median, d.kl_p90, d.kl_p99, d.kl_p999, d.kl_max, 100 * d.top1_agreement,
      100 * d.top1_standard_error, 100 * d.rms_delta_p, 100 * d.rms_delta_p_standard_error);
}

}  // namespace

std::string render_terminal(const EvalResult& r) {
  if (!r.classifiers.empty()) return render_table(r.classifiers);
  return loss_words(r.loss) + (r.comparison ? comparison_words(*r.comparison) : "");
}

std::string eval_json(const EvalResult& r) {
  if (!r.classifiers.empty()) return classifiers_json(r.classifiers);
  JsonWriter out;
  out.begin_object().field("schema_version", kReportSchemaVersion).field("model", r.model);
  out.field("scheme", r.scheme).field("protocol", to_string(r.protocol));
  if (r.comparison) out.field("against", r.against);
  write_loss_result(r.loss, out);
  if (r.comparison) write_comparison(*r.comparison, out);
  return out.end_object().finish();
}

}  // namespace nibble
