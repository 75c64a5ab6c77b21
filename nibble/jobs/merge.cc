#include "nibble/jobs/merge.h"

#include <utility>

#include "nibble/core/in_file.h"
#include "nibble/eval/measure.h"
#include "nibble/eval/perplexity.h"
#include "nibble/model/adapted_model.h"
#include "nibble/model/hf_cache.h"

namespace nibble {
namespace {

Measurement measured(std::string name, const Model& model, const Decoder& decoder,
                     const LossResult& loss) {
  Measurement m;
  m.name = std::move(name);
  m.scheme = scheme_summary(model);
  m.parameters = parameter_count(decoder.config());
  m.file_bytes = model.weights->file_bytes();
  m.memory_bytes = static_cast<int64_t>(decoder.memory_bytes());
  m.weight_bytes = static_cast<int64_t>(decoder.weight_bytes());
  m.bits_per_weight = stored_bits_per_weight(model);
  m.loss = loss.loss;
  m.standard_error = loss.standard_error;
  m.perplexity = loss.perplexity;
  m.tokens = loss.tokens;
  return m;
}

void measure_merge(const MergeJob& job, const Model& beside, const Exec& exec, MergeResult& out) {
  const Model merged = open_model(out.written.path);
  const LinearOptions linear{.threads = exec.threads};
  const Decoder base = load_decoder(beside, linear), made = load_decoder(merged, linear);
  const auto text = cut_text(*job.text, beside, job.cut);
  const ComparisonResult c = naming_file(merged.path, [&] {
    return compare_models(logits_of(made), logits_of(base), text, exec, "measure");
  });
  out.measured_on = describe_text(*job.text, job.cut);
  out.models = {measured("base + adapters", beside, base, require_perplexity(c.base)),
                measured("merged", merged, made, require_perplexity(c.model))};
  out.models[1].divergence = c.divergence;
  out.models[1].loss_difference = c.loss_difference;
  out.models[1].loss_difference_standard_error = c.loss_difference_standard_error;
}

}  // namespace

MergeResult merge(const MergeJob& job, const Exec& exec, const NoticeHook& tell) {
  MergeResult out;
  const std::string path = resolve_model(job.model);
  std::optional<Model> beside;
  if (job.text) {  // what would be refused is, before anything is written
    beside = with_adapters(open_model(path), parse_adapters(job.options.adapters));
    (void)cut_text(*job.text, *beside, job.cut);
  }
  out.written = merge_adapters(path, job.out, job.options, exec);
  note_warnings(out.written.warnings, tell, out.warnings);
  if (beside) measure_merge(job, *beside, exec, out);
  return out;
}

}  // namespace nibble
