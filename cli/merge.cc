// nibble merge: LoRA adapters into a model.
#include "nibble/jobs/merge.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/flags.h"
#include "cli/load.h"
#include "cli/outputs.h"
#include "nibble/model/adapted_model.h"
#include "nibble/model/hf_cache.h"
#include "nibble/report/merge_report.h"

namespace nibble::cli {
namespace {

struct MergeFlags {
  MergeJob job;
  std::string text, protocol = "windows", format;
};

void run_merge(const Common& common, const MergeFlags& o) {
  MergeJob job = o.job;
  job.options.command = common.command_line;
  if (!o.format.empty()) job.options.format = parse_output_format(o.format);
  job.cut.protocol = parse_protocol(o.protocol);
  std::vector<std::string> inputs = model_inputs(resolve_model(job.model));
  inputs.push_back(o.text);
  for (const AdapterChoice& a : parse_adapters(job.options.adapters)) inputs.push_back(a.path);
  refuse_inputs_as_outputs({output_target(job.out, job.options.format).path, ""}, inputs);
  if (!o.text.empty()) job.text = load_text(o.text);
  MergeResult result = merge(job, make_exec(common), tell(common));
  result.warnings = in_flags(result.warnings);
  show(
      common, [&] { return merge_json(job, result); },
      [&] { return render_terminal(job, result); });
}

void add_measuring(CLI::App& verb, MergeFlags& o) {
  CLI::Option* text = verb.add_option(
      "--text", o.text,
      "Text file: measure what was written against the model with its adapters beside it");
  CLI::Option* heldout = verb.add_flag("--heldout", o.job.cut.heldout,
                                       "Only the part that training held out (the last 10 %)")
                             ->needs(text);
  verb.add_option(
          "--protocol", o.protocol,
          fmt::format("How the text is cut and scored: {}", fmt::join(protocol_names(), ", ")))
      ->capture_default_str()
      ->needs(text);
  verb.add_option("--window", o.job.cut.window,
                  "Tokens a window (default: the protocol's, or the context)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31))
      ->needs(text);
  verb.add_option("--data-seed", o.job.cut.data_seed,
                  "Of the split into training and held-out lines")
      ->capture_default_str()
      ->needs(heldout);
}

}  // namespace

void add_merge(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("merge", "Make one model of a model and its LoRA adapters");
  const auto o = std::make_shared<MergeFlags>();
  verb->add_option("model", o->job.model, "Model folder or file")->required();
  verb->add_option("--adapter", o->job.options.adapters,
                   "PATH[=WEIGHT]: a LoRA adapter as PEFT saves it, merged WEIGHT times (1 where "
                   "not given; repeatable)")
      ->required();
  verb->add_option("-o,--out", o->job.out, "Folder to make, or a file NAME.gguf for llama.cpp")
      ->required();
  verb->add_option("--to", o->job.options.to,
                   "f32, f16 or bf16 for every matrix; or a scheme as in `nibble quantize`, to the "
                   "nearest code (default: as the model stores each weight, quantized again where "
                   "an adapter changes it)");
  verb->add_option("--format", o->format,
                   fmt::format("What is written: {} (default: by OUT's name; in a folder the first "
                               "that can say all of the model)",
                               fmt::join(output_formats(), ", ")));
  add_measuring(*verb, *o);
  verb->add_flag("--force", o->job.options.force, "Replace OUT where it exists");
  add_common(*verb, common,
             "nibble merge my-model --adapter my-adapter -o my-merged\n"
             "  nibble merge my-model --adapter poems=0.7 --adapter prose=0.3 -o my-merged --to "
             "f16\n"
             "  nibble merge my-model-nf4 --adapter my-adapter -o my-merged-nf4 --text book.txt\n"
             "  nibble merge my-model --adapter my-adapter -o my-merged.gguf --to q4_k");
  verb->callback([&common, o] { run_merge(common, *o); });
}

}  // namespace nibble::cli
