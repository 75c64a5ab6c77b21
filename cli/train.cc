// nibble train: a preset, a text, a model folder.
#include "nibble/jobs/train.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/flags.h"
#include "cli/load.h"
#include "cli/outputs.h"
#include "nibble/core/error.h"
#include "nibble/model/config_file.h"
#include "nibble/model/hf_cache.h"
#include "nibble/report/train_page.h"
#include "nibble/report/train_report.h"
#include "nibble/train/presets.h"

namespace nibble::cli {
namespace {

// What runs of a kind of their own read; anything else would be passed over in silence.
constexpr std::string_view kOfMlp[] = {"preset",  "--data",    "--out",   "--steps",
                                       "--batch", "--seed",    "--force", "--json",
                                       "--quiet", "--threads", "--resume"};
constexpr std::string_view kOfReference[] = {"preset",    "--data",     "--out",  "--steps",
                                             "--seed",    "--force",    "--json", "--quiet",
                                             "--threads", "--reference"};

struct TrainFlags {
  TrainJob job;
  std::string data, heldout, report, scale_dtype = "f16";
  bool reference = false;
  const CLI::Option *preset = nullptr, *batch = nullptr;
};

// Whether a config.json stands where a preset's name could.
bool names_config(const TrainFlags& o) { return o.job.preset.ends_with(".json"); }
bool goes_on(const TrainFlags& o) { return !o.job.from.empty(); }

template <class Result>
void show_train(const Common& common, const TrainJob& job, const Result& result) {
  show(
      common, [&] { return train_json(job, result); },
      [&] { return render_terminal(job, result); });
}

void run_train(const Common& common, const TrainFlags& o) {
  TrainJob job = o.job;
  if (names_config(o)) {
    std::vector<std::string> warnings;
    job.config = read_decoder_config(job.preset, warnings);
    show_warnings(common, warnings);
  }
  job.text = load_text(o.data);
  if (!o.heldout.empty()) job.heldout = load_text(o.heldout);
  job.command = common.command_line;
  job.qat.scale_dtype = parse_scale_dtype(o.scale_dtype);
  if (o.reference) return show_train(common, job, train_reference(job, make_exec(common)));
  const auto page = open_report(o.report, o.job.force);
  TrainSummary result = train(job, make_exec(common));
  if (page) {
    page->write(train_html(job, result));
    page->commit();
  }
  show_warnings(common, in_flags(result.warnings));
  show_train(common, job, result);
}

// Nothing that is read may be replaced.
std::vector<std::string> training_inputs(const TrainFlags& o) {
  std::vector<std::string> out = {o.data, o.heldout, o.job.tokenizer,
                                  names_config(o) ? o.job.preset : ""};
  for (const std::string& model :
       {o.job.from, o.job.distill, o.job.lora.adapter, o.job.lora.loftq}) {
    if (model.empty()) continue;
    const auto files = model_inputs(resolve_model(model));
    out.insert(out.end(), files.begin(), files.end());
  }
  return out;
}

void run_mlp(const Common& common, const TrainFlags& o) {
  TrainJob job = o.job;
  job.data = o.data;
  const ClassifierSummary result = train_classifier(job, make_exec(common));
  show(
      common, [&] { return train_json(job, result); },
      [&] { return in_flags(render_terminal(job, result)); });
}

void refuse_unread(const CLI::App& verb, std::string_view kind,
                   std::span<const std::string_view> read) {
  for (const CLI::Option* option : verb.get_options()) {
    const std::string name = option->get_name();
    if (option->count() == 0 || std::find(read.begin(), read.end(), name) != read.end()) continue;
    throw invalid_argument(fmt::format("{} takes no {}", kind, name));
  }
}

// Options that say how another one is meant.
void check_companions(const CLI::App& verb) {
  const auto given = [&](const std::string& name) { return verb.get_option(name)->count() > 0; };
  const auto belongs = [&](std::initializer_list<const char*> names, const char* to) {
    for (const char* name : names)
      if (given(name) && !given(to))
        throw invalid_argument(fmt::format("{} belongs to {}", name, to));
  };
  belongs({"--set", "--keep", "--quantize", "--qat-begin", "--scale-lr", "--scale-dtype"}, "--qat");
  belongs({"--distill-share", "--corrupt"}, "--distill");
  belongs({"--loftq"}, "--lora");
}

void check_train(const TrainFlags& o) {
  if (goes_on(o) && o.preset->count() > 0)
    throw invalid_argument("--from names what is trained: give no preset beside it");
  if (!goes_on(o) && o.preset->count() == 0)
    throw invalid_argument(fmt::format("name a preset ({}), a config.json, or --from MODEL",
                                       fmt::join(preset_names(), ", ")));
  if (!o.job.tokenizer.empty() && !names_config(o))
    throw invalid_argument("--tokenizer is for a config.json");
  if (o.job.lora.asked() && !goes_on(o))
    throw invalid_argument("--lora and --adapter need --from MODEL, the base");
  if (o.reference && o.job.preset != "micro")
    throw invalid_argument("--reference is for the preset micro only");
  if (o.job.resume && o.job.out.empty())
    throw invalid_argument("--resume needs -o, the folder whose training goes on");
  if (o.data.empty() && (goes_on(o) || names_config(o) || preset(o.job.preset).random_windows))
    throw invalid_argument(
        fmt::format("{} needs --data TEXT, a text file", goes_on(o) ? "--from" : o.job.preset));
}

constexpr int64_t kMost = 1'000'000'000;

void add_optimizer(CLI::App& verb, TrainJob& job) {
  verb.add_option("--lr", job.learning_rate,
                  "Learning rate at its peak (--from: 3e-4, --lora: 2e-3)")
      ->check(number_between(1e-12, 100.0));
  verb.add_option("--schedule", job.schedule,
                  fmt::format("How it falls behind the warm-up: {} (--from: cosine)",
                              fmt::join(schedule_names(), ", ")));
  verb.add_option("--warmup", job.warmup_steps, "Steps in which it rises (--from: 20)")
      ->check(CLI::Range(int64_t{0}, kMost));
  verb.add_option("--final-lr", job.final_fraction, "Share of it that is left at the end")
      ->check(number_between(0.0, 1.0));
  verb.add_option("--beta1", job.beta1, "Of AdamW")->check(number_between(0.0, 0.999999));
  verb.add_option("--beta2", job.beta2, "Of AdamW")->check(number_between(0.0, 0.999999));
  verb.add_option("--weight-decay", job.weight_decay, "Of matrices, decoupled")
      ->check(number_between(0.0, 100.0));
  verb.add_option("--clip-norm", job.clip_norm, "Largest norm of the gradient, 0: any")
      ->check(number_between(0.0, 1e9));
  verb.add_option("--accumulate", job.accumulate,
                  "Batches of a step, one after another: a larger step in the same memory")
      ->check(CLI::Range(int64_t{1}, int64_t{10'000}));
  verb.add_option("--window", job.window,
                  "Tokens of a sequence (default: the context, at most 256 of --from)")
      ->check(CLI::Range(int64_t{1}, kMost));
  verb.add_option("--expert-balance", job.expert_balance,
                  "Of a mixture of experts: coefficient of the loss that keeps them equally busy")
      ->check(number_between(0.0, 999.0));
  verb.add_option("--freeze", job.freeze,
                  "PATTERN: parameters that stay as they are, * and ? allowed (repeatable)");
  verb.add_flag("--bf16", job.bf16,
                "Products in bf16 with sums in f32, where the processor has them: faster");
  verb.add_flag("--recompute", job.recompute,
                "Keep one layer's activations and compute the others again: less memory, a third "
                "more time");
}

void add_qat(CLI::App& verb, TrainFlags& o) {
  QatJob& q = o.job.qat;
  verb.add_option("--qat", q.scheme,
                  "Train for this scheme, spelled as in `quantize`: int2:g32, ternary, q4_k");
  verb.add_option("--set", q.set, "PATTERN=SCHEME: another scheme for some tensors (repeatable)");
  verb.add_option("--keep", q.keep,
                  "PATTERN: tensors that stay plain, * and ? allowed (repeatable)");
  verb.add_option("--quantize", q.also, "lm_head, embeddings: cover these too")->delimiter(',');
  verb.add_option("--scale-dtype", o.scale_dtype, "f16, bf16 or f32")->capture_default_str();
  verb.add_option("--qat-begin", q.begin,
                  "Steps in floats before it begins (default: none with --from, else a third)")
      ->check(CLI::Range(int64_t{0}, kMost));
  verb.add_option("--scale-lr", q.scale_rate,
                  "Learning rate of step sizes, as a share of that of weights")
      ->check(number_between(0.0, 999.0));
  verb.add_option("--distill", o.job.distill,
                  "Learn this model's probabilities (its KL divergence), not the text alone");
  verb.add_option("--distill-share", o.job.distill_share,
                  "Of the divergence in the loss; the rest is the text's")
      ->capture_default_str()
      ->check(number_between(0.0, 1.0));
  verb.add_option("--corrupt", o.job.corrupt,
                  "Share of the tokens read that become random ones, for a teacher alone: the data "
                  "go further")
      ->check(number_between(0.0, 0.99));
}

void add_lora(CLI::App& verb, TrainFlags& o) {
  verb.add_option("--lora", o.job.lora.options,
                  "Train an adapter beside --from, which stays as it is stored, packed or plain: "
                  "r=8,alpha=16,targets=all-linear,dropout=0.05,rslora, as far as wanted "
                  "(targets: q_proj+v_proj)");
  verb.add_option("--loftq", o.job.lora.loftq,
                  "The float model that a quantized --from was made of: the adapter begins as what "
                  "was lost, as near as its rank allows");
  verb.add_option("--adapter", o.job.lora.adapter, "A PEFT adapter to go on with, beside --from");
}

void add_watching(CLI::App& verb, TrainFlags& o) {
  verb.add_option("--heldout", o.heldout, "Text file to measure on (default: the last tenth)");
  verb.add_option("--eval-every", o.job.eval_every,
                  "Steps between two looks at the held-out loss (default: a tenth of all)")
      ->check(CLI::Range(int64_t{1}, kMost));
  verb.add_option("--patience", o.job.patience,
                  "Stop after so many looks without a better one, and keep the best weights")
      ->check(CLI::Range(int64_t{1}, kMost));
  verb.add_option("--report", o.report, "HTML page to write, with the curves");
  verb.add_option("--log", o.job.log, "File for a line of JSON a step");
}

}  // namespace

void add_train(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand(
      "train", "Train a model: a preset, a config.json's, or one that is there already (--from)");
  const auto o = std::make_shared<TrainFlags>();
  verb->add_option("preset", o->job.preset,
                   "micro (4,192 weights), demo (about 31,000), char (for a text file), mlp "
                   "(784-512-512-10), or a config.json as Hugging Face models have it: that "
                   "decoder, for a text file, with a token for each character (or --tokenizer)");
  o->preset = verb->get_option("preset");
  verb->add_option("--from", o->job.from, "A model to go on with, instead of a preset");
  verb->add_option("--tokenizer", o->job.tokenizer,
                   "Folder whose tokenizer a config.json's decoder reads with");
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
  add_optimizer(*verb, o->job);
  add_qat(*verb, *o);
  add_lora(*verb, *o);
  add_watching(*verb, *o);
  add_common(
      *verb, common,
      "nibble train char --data shakespeare.txt -o shakespeare\n"
      "  nibble train micro --reference --data names.txt --json\n"
      "  nibble train --from my-model --data book.txt -o my-model-tuned --lr 1e-4\n"
      "  nibble train --from my-model-int2 --qat int2:g32 --distill my-model --data book.txt "
      "-o my-model-int2-qat\n"
      "  nibble train --from my-model-nf4 --lora r=8,alpha=16 --data book.txt -o book-adapter");
  verb->callback([&common, o, verb] {
    if (o->job.preset == "mlp") refuse_unread(*verb, "mlp", kOfMlp);
    if (o->reference) refuse_unread(*verb, "--reference", kOfReference);
    check_companions(*verb);
    refuse_inputs_as_outputs({o->job.out, o->report}, training_inputs(*o));
    refuse_inputs_as_outputs({"", o->job.log}, training_inputs(*o));
    if (o->job.preset == "mlp") return run_mlp(common, *o);
    check_train(*o);
    run_train(common, *o);
  });
}

}  // namespace nibble::cli
