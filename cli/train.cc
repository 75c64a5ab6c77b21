// nibble train: a preset, a text, a model folder.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/load.h"
#include "cli/mnist.h"
#include "cli/outputs.h"
#include "nibble/compress/train_model.h"
#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/core/json.h"
#include "nibble/model/config_file.h"
#include "nibble/train/presets.h"

namespace nibble::cli {
namespace {

struct TrainFlags {
  TrainJob job;
  std::string data;
  bool reference = false;
};

TrainHook hook_for(const Exec& exec) {
  return [&exec](const TrainStep& s) {
    const double rate = s.seconds > 0 ? static_cast<double>(s.tokens) / s.seconds : 0;
    exec.report(
        {"train", s.step, s.steps, fmt::format("loss {:.4f}, {:.0f} tokens/s", s.loss, rate)});
  };
}

void print_samples(const std::vector<std::string>& samples) {
  print_out("samples:\n");
  for (const std::string& s : samples) print_out(fmt::format("  {}\n", printable(s, 4096)));
}

void show_train(const Common& common, const TrainFlags& o, const TrainSummary& t) {
  if (common.json) {
    JsonWriter out;
    out.begin_object()
        .field("schema_version", 1)
        .field("preset", o.job.preset)
        .field("out", o.job.out);
    out.field("parameters", t.parameters)
        .field("steps", t.steps)
        .field("batch", t.batch)
        .field("seed", t.seed);
    out.field("train_loss", t.train_loss).field("heldout_loss", t.heldout_loss);
    out.field("heldout_standard_error", t.heldout_standard_error);
    out.field("seconds", t.seconds).field("tokens_per_second", t.tokens_per_second);
    out.field("resumed_from", t.resumed_from).array("samples", t.samples).end_object();
    print_raw(out.finish());
    return;
  }
  print_out(fmt::format("{} weights, {} of {} in {:.2f} s ({:.0f} tokens/s)\n", t.parameters,
                        counted(t.steps, "step"), t.batch, t.seconds, t.tokens_per_second));
  print_out(fmt::format("training loss {:.4f}, held-out loss {:.4f} +- {:.4f} nats a token\n",
                        t.train_loss, t.heldout_loss, t.heldout_standard_error));
  print_samples(t.samples);
  if (!o.job.out.empty()) print_out(fmt::format("model: {}\n", o.job.out));
}

void show_train(const Common& common, const TrainFlags& o, const ReferenceResult& r) {
  const auto loss = [&](size_t step) {
    return r.losses.size() >= step ? r.losses[step - 1] : std::nan("");
  };
  if (common.json) {
    JsonWriter out;
    out.begin_object().field("schema_version", 1).field("preset", "micro").field("reference", true);
    out.field("parameters", parameter_count(r.config))
        .field("steps", static_cast<int64_t>(r.losses.size()))
        .field("batch", 1)
        .field("seed", o.job.seed);
    out.field("train_loss", r.losses.back())
        .field("heldout_loss", r.heldout_nll)
        .field("seconds", r.seconds);
    out.field("tokens_per_second", r.seconds > 0 ? static_cast<double>(r.tokens) / r.seconds : 0.0);
    for (const size_t step : {1, 2, 20, 1000})
      out.field(fmt::format("loss_step_{}", step), loss(step));
    out.field("weight_sum", r.weight_sum).array("samples", r.samples).end_object();
    print_raw(out.finish());
    return;
  }
  print_out(fmt::format("reference mode: {} in {:.2f} s\n", counted(std::ssize(r.losses), "step"),
                        r.seconds));
  for (const size_t step : {1, 2, 20, 1000})
    print_out(fmt::format("loss of step {:4}: {:.16g}\n", step, loss(step)));
  print_out(fmt::format("sum of the weights: {:.12g}\nheld-out loss: {:.4f}\n", r.weight_sum,
                        r.heldout_nll));
  print_samples(r.samples);
}

// Whether a config.json stands where a preset's name could.
bool names_config(const TrainFlags& o) { return o.job.preset.ends_with(".json"); }

void run_train(const Common& common, TrainFlags o) {
  if (names_config(o)) {
    std::vector<std::string> warnings;
    o.job.config = read_decoder_config(o.job.preset, warnings);
    show_warnings(common, warnings);
  }
  const Text text = load_text(o.data);
  o.job.text = text.text;
  const Exec exec = make_exec(common);
  try {
    if (o.reference)
      return show_train(common, o, train_reference_model(o.job, exec, hook_for(exec)));
    show_train(common, o, train_model(o.job, exec, hook_for(exec)));
  } catch (Error& e) {
    if (e.kind() == ErrorKind::corrupt) e.set_file(text.name);
    throw;
  }
}

void check_train(const TrainFlags& o) {
  if (o.reference && o.job.preset != "micro")
    throw invalid_argument("--reference is for the preset micro only");
  if (o.reference && (o.job.resume || o.job.batch))
    throw invalid_argument("--reference takes neither --resume nor --batch");
  if (o.job.resume && o.job.out.empty())
    throw invalid_argument("--resume needs -o, the folder whose training goes on");
  if (o.data.empty() && (names_config(o) || preset(o.job.preset).random_windows))
    throw invalid_argument(fmt::format("{} needs --data TEXT, a text file", o.job.preset));
}

}  // namespace

void add_train(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand(
      "train", "Train a small model: micro, demo, char (a text), a config.json's or mlp (MNIST)");
  const auto o = std::make_shared<TrainFlags>();
  verb->add_option("preset", o->job.preset,
                   "micro (4,192 weights), demo (about 31,000), char (for a text file), mlp "
                   "(784-512-512-10), or a config.json as Hugging Face models have it: that "
                   "decoder, for a text file, with a token for each character")
      ->required();
  verb->add_option("--data", o->data,
                   "Text file; for mlp a folder with MNIST's IDX files (default: the names nibble "
                   "brings along; mlp: random weights)");
  verb->add_option("-o,--out", o->job.out, "Model folder to make (default: train and tell only)");
  verb->add_option("--steps", o->job.steps, "Training steps")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  verb->add_option("--batch", o->job.batch, "Sequences a step")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  verb->add_option("--seed", o->job.seed, "Of the weights and the batches")->capture_default_str();
  verb->add_option("--data-seed", o->job.data_seed, "Of the split into training and held-out lines")
      ->capture_default_str();
  verb->add_option("--samples", o->job.samples, "Samples to draw at the end")
      ->capture_default_str()
      ->check(CLI::Range(0, 10'000));
  verb->add_option("--temperature", o->job.temperature, "Of the samples")
      ->capture_default_str()
      ->check(number_between(0.0, 100.0));
  verb->add_flag("--reference", o->reference,
                 "microgpt.py digit by digit, in f64, one name a step");
  verb->add_flag("--resume", o->job.resume,
                 "Go on from the checkpoint OUT.resume of a run that was stopped");
  verb->add_option("--checkpoint-every", o->job.checkpoint_every,
                   "Steps between checkpoints (default: every 20 seconds)")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000'000}));
  verb->add_flag("--force", o->job.force, "Replace OUT where it exists");
  add_common(*verb, common,
             "nibble train char --data shakespeare.txt -o shakespeare\n  nibble train micro "
             "--reference --data names.txt --json");
  verb->callback([&common, o] {
    refuse_inputs_as_outputs({o->job.out, ""}, {o->data, names_config(*o) ? o->job.preset : ""});
    if (o->job.preset == "mlp") return train_mlp(common, o->job, o->data);
    check_train(*o);
    run_train(common, *o);
  });
}

}  // namespace nibble::cli
