#include "nibble/jobs/eval.h"

#include <fmt/format.h>

#include "nibble/core/error.h"
#include "nibble/core/in_file.h"
#include "nibble/jobs/classifiers.h"
#include "nibble/model/hf_cache.h"
#include "nibble/text/line_data.h"

namespace nibble {
namespace {

std::vector<ScoredSequence> text_to_score(const EvalJob& job, const Model& model) {
  const Tokenizer& tokenizer = model.require_tokenizer();
  if (!job.text && !reads_lines(tokenizer))
    throw invalid_argument("`text` is needed: this model does not read names");
  return cut_text(job.text ? *job.text : names_text(), model, job.cut);
}

Model open_baseline(const EvalJob& job, const Model& model) {
  Model out = open_model(resolve_model(job.against));
  const int64_t mine = model.decoder_config().vocab_size, theirs = out.decoder_config().vocab_size;
  if (mine == theirs) return out;
  throw invalid_argument(fmt::format("`against` {}: its vocabulary has {} tokens, the model's {}",
                                     in_quotes(job.against), theirs, mine));
}

void eval_alone(const EvalJob& job, const Model& model, const Exec& exec, EvalResult& out) {
  const Decoder decoder = load_decoder(model, {.threads = exec.threads});
  const auto text = text_to_score(job, model);
  out.loss = naming_file(model.path, [&] {
    return require_perplexity(measure_loss(logits_of(decoder, job.kv), text, exec, "eval"));
  });
}

void eval_beside(const EvalJob& job, const Model& model, const Model& baseline, const Exec& exec,
                 EvalResult& out) {
  const LinearOptions linear{.threads = exec.threads};
  const Decoder decoder = load_decoder(model, linear), base = load_decoder(baseline, linear);
  const auto text = text_to_score(job, model);
  naming_file(model.path, [&] {
    out.comparison =
        compare_models(logits_of(decoder, job.kv), logits_of(base), text, exec, "eval");
    out.loss = require_perplexity(out.comparison->model);
  });
}

}  // namespace

EvalResult evaluate(const EvalJob& job, const Exec& exec, const NoticeHook& tell) {
  EvalResult out;
  const Model model = open_choice(job.model, exec);
  note_warnings(warnings_of(model), tell, out.warnings);
  out.model = job.model.model;
  out.scheme = scheme_summary(model);
  out.against = job.against;
  out.protocol = job.cut.protocol;
  if (std::holds_alternative<MlpConfig>(model.config)) {
    out.classifiers = eval_classifier(model, job.against, job.data, exec);
  } else if (job.against.empty()) {
    eval_alone(job, model, exec, out);
  } else {
    const Model baseline = open_baseline(job, model);
    note_warnings(warnings_of(baseline), tell, out.warnings);
    eval_beside(job, model, baseline, exec, out);
  }
  return out;
}

}  // namespace nibble
