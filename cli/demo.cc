// nibble demo: the main job, in one command.
#include "nibble/jobs/demo.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/load.h"
#include "cli/outputs.h"
#include "nibble/report/demo_report.h"

namespace nibble::cli {
namespace {

struct DemoFlags {
  DemoJob job;
  std::string data;
};

void run_demo(const Common& common, DemoFlags o) {
  refuse_inputs_as_outputs({o.job.out, ""}, {o.data});
  o.job.text = load_text(o.data);
  o.job.command = common.command_line;
  const DemoResult result = demo(o.job, make_exec(common), write_demo_pages);
  show(
      common, [&] { return demo_json(result); },
      [&] {
        return render_terminal(result) + fmt::format("The report: {}/report.html\n", o.job.out);
      });
}

}  // namespace

void add_demo(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand(
      "demo", "Train a microGPT, quantize it every way, and show what that cost");
  const auto o = std::make_shared<DemoFlags>();
  o->job.out = "nibble-demo";
  verb->add_option("-o,--out", o->job.out,
                   "Folder to make: one folder a model, report.html, report.json")
      ->capture_default_str();
  verb->add_option("--data", o->data,
                   "Text with one name a line (default: the names nibble brings along)");
  verb->add_option("--preset", o->job.preset, "micro (4,192 weights) or demo (about 31,000)")
      ->capture_default_str()
      ->check(CLI::IsMember({"micro", "demo"}));
  verb->add_option("--steps", o->job.steps, "Training steps")
      ->check(CLI::Range(int64_t{1}, int64_t{100'000'000}));
  verb->add_option("--batch", o->job.batch, "Names a step")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  verb->add_option("--seed", o->job.seed, "Of the weights, the batches and the samples")
      ->capture_default_str();
  add_runs(*verb, o->job.runs);
  verb->add_flag("--force", o->job.force, "Replace the folder even where no demo made it");
  add_common(*verb, common, "nibble demo -o my-demo        then open my-demo/report.html");
  verb->callback([&common, o] { run_demo(common, *o); });
}

}  // namespace nibble::cli
