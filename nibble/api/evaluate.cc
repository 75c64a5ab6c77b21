#include "nibble/api/evaluate.h"

#include "nibble/api/within.h"
#include "nibble/core/mapped_file.h"
#include "nibble/jobs/compare.h"
#include "nibble/jobs/eval.h"
#include "nibble/report/compare_report.h"
#include "nibble/report/eval_report.h"

namespace nibble::api {
namespace {

constexpr int64_t kTextLimit = int64_t{1} << 33;

std::optional<Text> text_of(const TextOptions& o) {
  if (o.text.empty()) return std::nullopt;
  return Text{o.text, read_file(o.text, kTextLimit)};
}

nibble::TextOptions cut_of(const TextOptions& o) {
  if (o.window < 0) throw nibble::invalid_argument("`window`: expected 0 or more");
  return {parse_protocol(o.protocol), o.window, o.heldout, o.data_seed};
}

EvalJob eval_job(const std::string& model, const EvaluateOptions& o) {
  EvalJob job;
  job.model = {model, {o.in.scheme, o.in.keep, o.in.also}, o.in.activations, o.in.adapters};
  job.against = o.against;
  job.cut = cut_of(o.text);
  job.kv = parse_kv(o.kv);
  job.text = text_of(o.text);
  return job;
}

CompareJob compare_job(const std::vector<std::string>& models, const CompareOptions& o) {
  CompareJob job;
  job.models = models;
  job.schemes = o.schemes;
  if (o.text) {
    job.cut = cut_of(*o.text);
    job.text = text_of(*o.text);
  }
  job.prompt = o.prompt;
  if (o.runs < 0) throw nibble::invalid_argument("runs: expected 0 or more");
  if (o.runs > 0) job.measure.runs = o.runs;
  return job;
}

}  // namespace

Evaluated evaluate(const std::string& model, const EvaluateOptions& options,
                   const Control& control) {
  return within([&] {
    const EvalResult r =
        nibble::evaluate(eval_job(model, options), exec_of(control), warnings_to(control));
    Evaluated out{r.loss.loss,  r.loss.standard_error, r.loss.perplexity, r.loss.tokens,
                  std::nullopt, std::nullopt,          r.warnings,        eval_json(r)};
    if (r.comparison) {
      out.kl_mean = r.comparison->divergence.kl_mean;
      out.top1_agreement = r.comparison->divergence.top1_agreement;
    }
    return out;
  });
}

Compared compare(const std::vector<std::string>& models, const CompareOptions& options,
                 const Control& control) {
  return within([&]() -> Compared {
    const CompareResult r =
        nibble::compare(compare_job(models, options), exec_of(control), warnings_to(control));
    return {compare_json(r), render_terminal(r), render_html(r)};
  });
}

}  // namespace nibble::api
