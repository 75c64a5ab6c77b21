// nibble compare: models, or one model in several schemes, side by side.
#include "nibble/jobs/compare.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/load.h"
#include "cli/outputs.h"
#include "nibble/model/hf_cache.h"
#include "nibble/report/compare_report.h"

namespace nibble::cli {
namespace {

struct CompareFlags {
  CompareJob job;
  std::string text, report, kv = "f32";
  bool force = false;
};

std::vector<std::string> inputs_of(const CompareFlags& o) {
  std::vector<std::string> out = {o.text, o.job.data};
  for (const std::string& model : o.job.models) {
    for (std::string& path : model_inputs(resolve_model(model))) out.push_back(std::move(path));
  }
  return out;
}

void run_compare(const Common& common, const CompareFlags& o) {
  CompareJob job = o.job;
  job.measure.kv = parse_kv(o.kv);
  refuse_inputs_as_outputs({"", o.report}, inputs_of(o));
  const auto page = open_report(o.report, o.force);
  if (!o.text.empty()) job.text = load_text(o.text);
  job.roof = page != nullptr;
  job.command = common.command_line;
  const CompareResult result =
      compare(job, make_exec(common), tell(common, "no --text was given: measuring on {}"));
  const bool paged = page && result.classifiers.empty();
  if (paged) {
    page->write(render_html(result));
    page->commit();
  }
  if (common.host != nullptr && result.classifiers.empty())
    common.host->found.html = render_html(result);
  show(
      common, [&] { return compare_json(result); },
      [&] {
        return render_terminal(result) + (paged ? fmt::format("\nThe report: {}\n", o.report) : "");
      });
}

}  // namespace

void add_compare(CLI::App& app, Common& common) {
  CLI::App* verb =
      app.add_subcommand("compare", "Models, or one model in several schemes, side by side");
  const auto o = std::make_shared<CompareFlags>();
  verb->add_option("models", o->job.models, "Model folders; the first is the baseline")->required();
  verb->add_option("--schemes", o->job.schemes,
                   "Schemes to make of the first model in memory, such as int8:a8,int4:g16")
      ->delimiter(',');
  verb->add_option("--keep", o->job.keep,
                   "PATTERN[=f32|f16|bf16]: tensors the schemes leave plain (repeatable)");
  verb->add_option("--quantize", o->job.also, "lm_head, embeddings: the schemes cover these too")
      ->delimiter(',');
  verb->add_option("--adapter", o->job.adapters,
                   "PATH[=WEIGHT]: a LoRA adapter on the first model and on what the schemes make "
                   "of it (repeatable)");
  verb->add_option("--text", o->text,
                   "Text file to measure on (default: names for models that read names, else text "
                   "that the model writes itself)");
  verb->add_option_function<std::string>(
          "--protocol", [o](const std::string& p) { o->job.cut.protocol = parse_protocol(p); },
          fmt::format("How the text is cut and scored: {}", fmt::join(protocol_names(), ", ")))
      ->default_str("windows");
  verb->add_option("--window", o->job.cut.window,
                   "Tokens a window (default: the protocol's, or the context)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  verb->add_flag("--heldout", o->job.cut.heldout,
                 "Only the part that training held out (the last 10 %)");
  verb->add_option("--data-seed", o->job.cut.data_seed,
                   "Of the split into training and held-out lines")
      ->capture_default_str();
  verb->add_option("--prompt", o->job.prompt, "What samples and timed generations begin with");
  verb->add_option("--continuations", o->job.measure.continuations,
                   "Texts each model writes, to see how far they stay the same; 0: none")
      ->capture_default_str()
      ->check(CLI::Range(0, 100'000));
  verb->add_option("--max-new-tokens", o->job.measure.max_new_tokens,
                   "Most tokens of the text behind the prompt (default: 64)")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 31));
  add_kv(*verb, o->kv);
  add_runs(*verb, o->job.measure.runs);
  verb->add_option("--seed", o->job.measure.seed, "Of the samples, the same for every model")
      ->capture_default_str();
  verb->add_option("--report", o->report, "HTML page to write");
  verb->add_flag("--force", o->force, "Replace the page where it exists");
  verb->add_option("--data", o->job.data, "For an mlp: folder with MNIST's IDX files");
  add_common(*verb, common,
             "nibble compare my-model --schemes int8,int8:a8,int4:g16 --text names.txt --report "
             "compare.html\n"
             "  nibble compare gpt2 --schemes f32,bf16,int8,int8:a8,int4:g128 --prompt 'Once upon' "
             "--runs 12\n"
             "  nibble compare my-model my-model-int4 --text book.txt --heldout");
  verb->callback([&common, o] { run_compare(common, *o); });
}

}  // namespace nibble::cli
