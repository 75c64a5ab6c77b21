#include "nibble/report/train_report.h"

#include <fmt/format.h>

#include <cmath>

#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/report/json_report.h"

namespace nibble {
namespace {

constexpr size_t kShownSteps[] = {1, 2, 20, 1000};  // of reference mode

double loss_of_step(const ReferenceResult& r, size_t step) {
  return r.losses.size() >= step ? r.losses[step - 1] : std::nan("");
}

JsonWriter begin_training(std::string_view preset) {
  JsonWriter out;
  out.begin_object().field("schema_version", kReportSchemaVersion).field("preset", preset);
  return out;
}

std::string sample_lines(const std::vector<std::string>& samples) {
  if (samples.empty()) return "";
  std::string out = "samples:\n";
  for (const std::string& s : samples) out += fmt::format("  {}\n", printable(s, 4096));
  return out;
}

std::string model_line(const TrainJob& job) {
  return job.out.empty() ? ""
                         : fmt::format("{}: {}\n", job.lora.asked() ? "adapter" : "model", job.out);
}

}  // namespace

std::string train_json(const TrainJob& job, const TrainSummary& t) {
  JsonWriter out = begin_training(job.preset);
  out.field("out", job.out).field("parameters", t.parameters).field("steps", t.steps);
  if (t.adapter_parameters > 0) out.field("adapter_parameters", t.adapter_parameters);
  out.field("batch", t.batch).field("seed", t.seed).field("train_loss", t.train_loss);
  out.field("heldout_loss", t.heldout_loss);
  out.field("heldout_standard_error", t.heldout_standard_error).field("seconds", t.seconds);
  out.field("tokens_per_second", t.tokens_per_second).field("resumed_from", t.resumed_from);
  if (!job.from.empty()) out.field("from", job.from);
  if (!job.qat.scheme.empty())
    out.field("qat", job.qat.scheme).field("bits_per_weight", t.bits_per_weight);
  if (t.distilled) out.field("distill", job.distill).field("teacher_loss", t.teacher_loss);
  if (job.patience > 0) out.field("stopped_early", t.stopped_early);
  out.key("looks").begin_array();
  for (const HeldoutLook& look : t.looks) {
    out.begin_object().field("step", look.step).field("loss", double{look.loss});
    if (t.distilled) out.field("divergence", double{look.divergence});
    out.end_object();
  }
  out.end_array();
  return out.array("samples", t.samples).end_object().finish();
}

namespace {

// What the held-out text said before and after, and where the run ended.
std::string look_lines(const TrainSummary& t) {
  std::string out;
  if (t.looks.size() > 1) {
    const HeldoutLook &first = t.looks.front(), &last = t.looks.back();
    out += fmt::format("held-out loss before: {:.4f}", double{first.loss});
    if (t.distilled)
      out +=
          fmt::format("; KL from the teacher {:.5f}, at the end {:.5f}; the teacher's loss {:.4f}",
                      double{first.divergence}, double{last.divergence}, t.teacher_loss);
    out += '\n';
  }
  if (t.stopped_early) out += "stopped early; the weights are those of the best look\n";
  if (t.bits_per_weight > 0) out += fmt::format("{:.2f} bits a weight\n", t.bits_per_weight);
  return out;
}

}  // namespace

std::string render_terminal(const TrainJob& job, const TrainSummary& t) {
  const std::string beside =
      t.adapter_parameters > 0 ? fmt::format("{} of an adapter beside ", t.adapter_parameters) : "";
  return fmt::format("{}{} weights, {} of {} in {:.2f} s ({:.0f} tokens/s)\n", beside, t.parameters,
                     counted(t.steps, "step"), t.batch, t.seconds, t.tokens_per_second) +
         fmt::format("training loss {:.4f}, held-out loss {:.4f} +- {:.4f} nats a token\n",
                     t.train_loss, t.heldout_loss, t.heldout_standard_error) +
         look_lines(t) + sample_lines(t.samples) + model_line(job);
}

std::string train_json(const TrainJob& job, const ReferenceResult& r) {
  JsonWriter out = begin_training("micro");
  out.field("reference", true).field("parameters", parameter_count(r.config));
  out.field("steps", static_cast<int64_t>(r.losses.size())).field("batch", 1);
  out.field("seed", job.seed).field("train_loss", r.losses.back());
  out.field("heldout_loss", r.heldout_nll).field("seconds", r.seconds);
  out.field("tokens_per_second", r.seconds > 0 ? static_cast<double>(r.tokens) / r.seconds : 0.0);
  for (const size_t step : kShownSteps)
    out.field(fmt::format("loss_step_{}", step), loss_of_step(r, step));
  out.field("weight_sum", r.weight_sum);
  return out.array("samples", r.samples).end_object().finish();
}

std::string render_terminal(const TrainJob&, const ReferenceResult& r) {
  std::string out = fmt::format("reference mode: {} in {:.2f} s\n",
                                counted(std::ssize(r.losses), "step"), r.seconds);
  for (const size_t step : kShownSteps)
    out += fmt::format("loss of step {:4}: {:.16g}\n", step, loss_of_step(r, step));
  return out +
         fmt::format("sum of the weights: {:.12g}\nheld-out loss: {:.4f}\n", r.weight_sum,
                     r.heldout_nll) +
         sample_lines(r.samples);
}

std::string train_json(const TrainJob& job, const ClassifierSummary& t) {
  JsonWriter out = begin_training("mlp");
  out.field("out", job.out).field("parameters", t.parameters).field("steps", t.steps);
  out.field("batch", t.batch).field("seed", t.seed).field("train_loss", t.train_loss);
  out.field("seconds", t.seconds).field("images_per_second", t.images_per_second);
  out.field("train_accuracy", t.train_accuracy).field("test_accuracy", t.test_accuracy);
  return out.end_object().finish();
}

std::string render_terminal(const TrainJob& job, const ClassifierSummary& t) {
  const std::string how =
      t.steps == 0
          ? ", random: no data was given (`data` FOLDER with MNIST's IDX files trains it)\n"
          : fmt::format(
                ", {} of {} in {:.2f} s ({:.0f} images/s)\naccuracy: {:.2f} % on the "
                "training images, {:.2f} % on the test images\n",
                counted(t.steps, "step"), t.batch, t.seconds, t.images_per_second,
                100 * t.train_accuracy, 100 * t.test_accuracy);
  return fmt::format("{} weights{}", t.parameters, how) + model_line(job);
}

}  // namespace nibble
