// nibble train: a preset, a text, a model folder.
#include "nibble/jobs/train.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/flags.h"
#include "cli/load.h"
#include "cli/outputs.h"
#include "nibble/core/error.h"
#include "nibble/model/config_file.h"
#include "nibble/report/train_report.h"
#include "nibble/train/presets.h"

namespace nibble::cli {
namespace {

struct TrainFlags {
  TrainJob job;
  std::string data;
  bool reference = false;
};

// Whether a config.json stands where a preset's name could.
bool names_config(const TrainFlags& o) { return o.job.preset.ends_with(".json"); }

template <class Result>
void show_train(const Common& common, const TrainJob& job, const Result& result) {
  common.json ? print_raw(train_json(job, result)) : print_out(render_terminal(job, result));
}

void run_train(const Common& common, const TrainFlags& o) {
  TrainJob job = o.job;
  if (names_config(o)) {
    std::vector<std::string> warnings;
    job.config = read_decoder_config(job.preset, warnings);
    show_warnings(common, warnings);
  }
  job.text = load_text(o.data);
  if (o.reference) return show_train(common, job, train_reference(job, make_exec(common)));
  show_train(common, job, train(job, make_exec(common)));
}

void run_mlp(const Common& common, const TrainFlags& o) {
  TrainJob job = o.job;
  job.data = o.data;
  const ClassifierSummary result = train_classifier(job, make_exec(common));
  common.json ? print_raw(train_json(job, result))
              : print_out(in_flags(render_terminal(job, result)));
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
    if (o->job.preset == "mlp") return run_mlp(common, *o);
    check_train(*o);
    run_train(common, *o);
  });
}

}  // namespace nibble::cli
