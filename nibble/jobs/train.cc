#include "nibble/jobs/train.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/float_formats.h"
#include "nibble/eval/measure.h"
#include "nibble/eval/perplexity.h"
#include "nibble/train/checkpoint.h"
#include "nibble/train/presets.h"

namespace nibble {
namespace {

std::string checkpoint_path(const TrainJob& job) { return job.out + ".resume"; }

TrainOptions train_options(const TrainJob& job) {
  TrainOptions options = preset(job.config ? "char" : job.preset);
  if (job.config) options.config = *job.config;
  options.steps = job.steps.value_or(options.steps);
  options.batch = job.batch.value_or(options.batch);
  options.seed = job.seed;
  return options;
}

void report_step(const TrainStep& s, const Exec& exec) {
  const double rate = s.seconds > 0 ? static_cast<double>(s.tokens) / s.seconds : 0;
  exec.report(
      {"train", s.step, s.steps, fmt::format("loss {:.4f}, {:.0f} tokens/s", s.loss, rate)});
}

// Saves the trainer's state now and then, and once more when a stop is asked for.
class Checkpointer {
 public:
  Checkpointer(const TrainJob& job, const Trainer& trainer, const Exec& exec)
      : job_(job), trainer_(trainer), exec_(exec) {}

  void operator()(const TrainStep& step) {
    report_step(step, exec_);
    if (job_.out.empty()) return;  // nothing is written without -o
    const bool due = job_.checkpoint_every > 0 && step.step % job_.checkpoint_every == 0;
    const std::chrono::duration<double> since = Clock::now() - last_;
    if (step.step == step.steps ||
        !(due || exec_.stopping() || since.count() > job_.checkpoint_seconds))
      return;
    trainer_.save_checkpoint(checkpoint_path(job_));
    last_ = Clock::now();
  }

 private:
  using Clock = std::chrono::steady_clock;
  const TrainJob& job_;
  const Trainer& trainer_;
  const Exec& exec_;
  Clock::time_point last_ = Clock::now();
};

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

void measure_trained(const Model& folder, const SequenceData& data, const TrainJob& job,
                     const Exec& exec, TrainSummary& out) {
  const Decoder model = load_decoder(folder, {.threads = exec.threads});
  if (!data.heldout.empty()) {
    const LossResult loss =
        measure_loss(logits_of(model), all_scored(data.heldout), exec, "measure");
    out.heldout_loss = loss.loss;
    out.heldout_standard_error = loss.standard_error;
  }
  const Tokenizer& tokenizer = folder.require_tokenizer();
  MeasureOptions options;
  options.samples = job.samples;
  options.temperature = job.temperature;
  options.seed = job.seed;
  const int32_t start = tokenizer.bos().value_or(data.train.front().front());
  out.samples = draw_samples(model, tokenizer, std::span(&start, 1), options, exec);
}

TrainSummary train_on_text(const TrainJob& job, const Exec& exec) {
  TrainOptions options = train_options(job);
  const CharTokenizer tokenizer = CharTokenizer::from_text(job.text.text, !options.random_windows);
  options.config.vocab_size = tokenizer.vocab_size();
  const SequenceData data =
      sequences(job.text.text, tokenizer, options.config.context, job.data_seed);
  require_enough(data);
  std::optional<AtomicFolder> folder;
  if (!job.out.empty()) {
    folder.emplace(job.out, job.force);
    if (!job.resume) refuse_foreign_checkpoint(checkpoint_path(job));
  }

  Trainer trainer(options, data.train);
  TrainSummary out;
  if (job.resume) out.resumed_from = trainer.load_checkpoint(checkpoint_path(job));
  trainer.run(exec, Checkpointer(job, trainer, exec));
  TrainResult result = trainer.result();
  require_finite(result.weights);

  measure_trained(in_memory(options.config, result.weights, tokenizer), data, job, exec, out);
  if (folder) {
    write_model(folder->path(), options.config, result.weights, &tokenizer);
    folder->commit();
    remove_checkpoint(job);
  }

  out.config = options.config;
  out.parameters = parameter_count(options.config);
  out.steps = options.steps;
  out.batch = options.batch;
  out.seed = job.seed;
  out.train_sequences = static_cast<int64_t>(data.train.size());
  out.heldout_sequences = static_cast<int64_t>(data.heldout.size());
  out.train_loss = final_loss(result.losses);
  out.seconds = result.seconds;
  out.tokens_per_second =
      result.seconds > 0 ? static_cast<double>(result.tokens) / result.seconds : 0;
  out.losses = std::move(result.losses);
  return out;
}

ReferenceResult train_digit_by_digit(const TrainJob& job, const Exec& exec) {
  std::optional<AtomicFolder> folder;
  if (!job.out.empty()) folder.emplace(job.out, job.force);
  ReferenceResult result = train_reference(job.text.text, job.seed, job.steps.value_or(1000), exec,
                                           [&](const TrainStep& s) { report_step(s, exec); });
  require_finite(result.weights);
  if (folder) {
    const CharTokenizer tokenizer = CharTokenizer::from_text(job.text.text, true);
    write_model(folder->path(), result.config, result.weights, &tokenizer);
    folder->commit();
  }
  return result;
}

// What is wrong with the data lies in the text.
template <class F>
auto naming_text(const Text& text, const F& f) {
  try {
    return f();
  } catch (Error& e) {
    if (e.kind() == ErrorKind::corrupt) e.set_file(text.name);
    throw;
  }
}

}  // namespace

double final_loss(const std::vector<float>& losses) {
  const size_t n = std::min<size_t>(100, losses.size());
  double sum = 0;
  for (size_t i = losses.size() - n; i < losses.size(); ++i) sum += losses[i];
  return n == 0 ? 0 : sum / static_cast<double>(n);
}

TrainSummary train(const TrainJob& job, const Exec& exec) {
  return naming_text(job.text, [&] { return train_on_text(job, exec); });
}

ReferenceResult train_reference(const TrainJob& job, const Exec& exec) {
  return naming_text(job.text, [&] { return train_digit_by_digit(job, exec); });
}

}  // namespace nibble
