#include "nibble/jobs/train.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "nibble/compress/model_output.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/in_file.h"
#include "nibble/eval/measure.h"
#include "nibble/eval/perplexity.h"
#include "nibble/jobs/train_data.h"
#include "nibble/jobs/train_loop.h"
#include "nibble/jobs/train_model.h"
#include "nibble/jobs/train_output.h"
#include "nibble/model/hf_cache.h"
#include "nibble/train/checkpoint.h"

namespace nibble {
namespace {

// The loss of a step is that of the weights before it: the last step's are seen only here.
void require_finite(const TensorMap& weights) {
  for (const auto& [name, tensor] : weights) {
    try {
      refuse_nonfinite(tensor, name);
    } catch (const Error& e) {
      throw corrupt(e.reason() + ": use a smaller learning rate").at(e.where());
    }
  }
}

void remove_checkpoint(const TrainJob& job) {
  unlink(checkpoint_path(job).c_str());
  unlink((checkpoint_path(job) + ".previous").c_str());
}

void require_enough(const SequenceData& data) {
  const auto usable = [](const auto& s) { return s.size() >= 2; };
  if (std::none_of(data.train.begin(), data.train.end(), usable)) {
    throw corrupt(
        "the training text holds nothing to predict: give at least two lines, or two characters");
  }
}

// Of conversations the answers count.
std::vector<ScoredSequence> scored(const std::vector<std::vector<int32_t>>& sequences) {
  std::vector<ScoredSequence> out;
  for (const std::vector<int32_t>& given : sequences) {
    ScoredSequence s;
    for (const int32_t id : given) {
      if (id < 0) s.first_scored = std::ssize(s.ids) + 1;
      s.ids.push_back(id_of(id));
    }
    out.push_back(std::move(s));
  }
  return out;
}

void measure_trained(const Model& folder, const SequenceData& data, const TrainJob& job,
                     const Exec& exec, TrainSummary& out) {
  const Decoder model = load_decoder(folder, {.threads = exec.threads});
  if (!data.heldout.empty()) {
    const LossResult loss = measure_loss(logits_of(model), scored(data.heldout), exec, "measure");
    out.heldout_loss = loss.loss;
    out.heldout_standard_error = loss.standard_error;
  }
  const Tokenizer& tokenizer = folder.require_tokenizer();
  MeasureOptions options;
  options.samples = job.samples;
  options.temperature = job.temperature;
  options.seed = job.seed;
  const int32_t start = tokenizer.bos().value_or(id_of(data.train.front().front()));
  out.samples = draw_samples(model, tokenizer, std::span(&start, 1), options, exec);
}

// What is left of a checkpoint's job: it goes on, or nothing of anybody else's is in its place.
void begin_run(const TrainJob& job, Trainer& trainer, TrainSummary& out) {
  if (job.resume)
    out.resumed_from = trainer.load_checkpoint(checkpoint_path(job));
  else if (!job.out.empty())
    refuse_foreign_checkpoint(checkpoint_path(job));
}

void summarize(const TrainJob& job, const TrainOptions& options, TrainResult result,
               TrainSummary& out) {
  out.config = options.config;
  out.parameters = parameter_count(options.config);
  out.steps = std::ssize(result.losses);
  out.batch = options.batch;
  out.seed = job.seed;
  out.train_loss = final_loss(result.losses);
  out.train_tokens = result.tokens;
  out.seconds = result.seconds;
  out.tokens_per_second =
      result.seconds > 0 ? static_cast<double>(result.tokens) / result.seconds : 0;
  out.losses = std::move(result.losses);
}

// Of the teacher on the same text: what can be reached.
double loss_of_teacher(const TrainJob& job, const SequenceData& data, const Exec& exec) {
  if (job.distill.empty() || data.heldout.empty()) return 0;
  const Decoder teacher =
      load_decoder(open_model(resolve_model(job.distill)), {.threads = exec.threads});
  return measure_loss(logits_of(teacher), scored(data.heldout), exec, "measure the teacher").loss;
}

TrainSummary train_on_text(const TrainJob& job, const Exec& exec) {
  if (!job.out.empty()) refuse_existing(job.out, job.force);
  const TrainedModel trained = model_to_train(job);
  std::optional<TrainOutput> output;
  if (!job.out.empty()) output.emplace(job, trained);
  const TrainOptions& options = trained.options;
  const SequenceData data = naming_file(job.text.name, [&] {
    SequenceData cut = data_to_train(job, trained);
    require_enough(cut);
    return cut;
  });
  // What is wrong with the weights lies in the model.
  const auto made = naming_file(trained.model.path, [&] {
    return std::make_unique<Trainer>(options, data.train, trained.start);
  });
  Trainer& trainer = *made;
  TrainSummary out;
  out.warnings = trained.warnings;
  begin_run(job, trainer, out);
  out.stopped_early = run_training(job, trainer, options, data.heldout, exec);
  out.looks = trainer.looks();
  out.distilled = options.step.teacher != nullptr;
  out.teacher_loss = loss_of_teacher(job, data, exec);
  out.run = run_info(exec, job.command);
  TrainResult result = trainer.result();
  require_finite(result.weights);
  as_stored_before(trained, result);
  out.train_sequences = static_cast<int64_t>(data.train.size());
  out.heldout_sequences = static_cast<int64_t>(data.heldout.size());
  try {
    measure_trained(trained_in_memory(trained, result), data, job, exec, out);
  } catch (const Error& e) {
    if (e.kind() != ErrorKind::corrupt) throw;
    throw corrupt("the trained model gives no finite numbers: use a smaller learning rate (" +
                  e.reason() + ")");
  }
  if (output) {
    output->write(result, out.warnings, exec);
    remove_checkpoint(job);
  }
  if (!trained.plans.empty())
    out.bits_per_weight = planned_bits_per_weight(trained.plans, options.quantization.scale_dtype);
  if (trained.lora)
    for (const auto& [name, w] : result.weights) out.adapter_parameters += w.elements();
  summarize(job, options, std::move(result), out);
  return out;
}

ReferenceResult train_digit_by_digit(const TrainJob& job, const Exec& exec) {
  std::optional<AtomicFolder> folder;
  if (!job.out.empty()) folder.emplace(job.out, job.force);
  ReferenceResult result = train_reference(job.text.text, job.seed, job.steps.value_or(1000), exec,
                                           [&](const TrainStep& s) { report_training(s, exec); });
  require_finite(result.weights);
  if (folder) {
    const CharTokenizer tokenizer = CharTokenizer::from_text(job.text.text, true);
    write_model(folder->path(), result.config, result.weights, &tokenizer);
    folder->commit();
  }
  return result;
}

}  // namespace

double final_loss(const std::vector<float>& losses) {
  const size_t n = std::min<size_t>(100, losses.size());
  double sum = 0;
  for (size_t i = losses.size() - n; i < losses.size(); ++i) sum += losses[i];
  return n == 0 ? 0 : sum / static_cast<double>(n);
}

TrainSummary train(const TrainJob& job, const Exec& exec) { return train_on_text(job, exec); }

ReferenceResult train_reference(const TrainJob& job, const Exec& exec) {
  return naming_file(job.text.name, [&] { return train_digit_by_digit(job, exec); });
}

}  // namespace nibble
