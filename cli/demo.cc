// nibble demo: the main job, in one command.
#include "nibble/report/demo.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/data.h"
#include "cli/load.h"
#include "cli/outputs.h"
#include "nibble/report/json_report.h"
#include "nibble/report/speed_text.h"
#include "nibble/report/verdict.h"

namespace nibble::cli {
namespace {

struct DemoFlags {
  DemoOptions demo;
  std::string data;
};

std::string headline(const std::vector<Measurement>& models) {
  const Measurement* best = headliner(models);
  if (best == nullptr) return {};
  const double smaller =
      static_cast<double>(models.front().file_bytes) / static_cast<double>(best->file_bytes);
  return fmt::format("{}: {:.2f}x smaller than f32, {}.\n", best->name, smaller,
                     describe_cost(*best));
}

std::string speed_line(const std::vector<Measurement>& models) {
  const Measurement* fast = fastest_quantized(models);
  if (fast == nullptr) return {};
  return fmt::format("{} against {}: {}.\n", fast->name, models.front().name,
                     describe_speed(speedup_of(*fast), "x"));
}

void run_demo(const Common& common, DemoFlags o) {
  refuse_inputs_as_outputs({o.demo.out, ""}, {o.data});
  const Text text = load_text(o.data);
  o.demo.data_name = text.name;
  o.demo.text = text.text;
  o.demo.command = common.command_line;
  DemoReport report;
  {
    const Exec exec = make_exec(common);
    report = run_demo(o.demo, exec);
  }
  if (common.json) {
    print_raw(models_json(report));
    return;
  }
  print_out(render_table(report.models));
  print_out("\n" + headline(report.models) + speed_line(report.models));
  print_out(fmt::format("The report: {}/report.html\n", o.demo.out));
}

}  // namespace

void add_demo(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand(
      "demo", "Train a microGPT, quantize it every way, and show what that cost");
  const auto o = std::make_shared<DemoFlags>();
  o->demo.out = "nibble-demo";
  verb->add_option("-o,--out", o->demo.out,
                   "Folder to make: one folder a model, report.html, report.json")
      ->capture_default_str();
  verb->add_option("--data", o->data,
                   "Text with one name a line (default: the names nibble brings along)");
  verb->add_option("--preset", o->demo.preset, "micro (4,192 weights) or demo (about 31,000)")
      ->capture_default_str()
      ->check(CLI::IsMember({"micro", "demo"}));
  verb->add_option("--steps", o->demo.steps, "Training steps")
      ->check(CLI::Range(int64_t{1}, int64_t{100'000'000}));
  verb->add_option("--batch", o->demo.batch, "Names a step")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  verb->add_option("--seed", o->demo.seed, "Of the weights, the batches and the samples")
      ->capture_default_str();
  add_runs(*verb, o->demo.runs);
  verb->add_flag("--force", o->demo.force, "Replace the folder even where no demo made it");
  add_common(*verb, common, "nibble demo -o my-demo        then open my-demo/report.html");
  verb->callback([&common, o] { run_demo(common, *o); });
}

}  // namespace nibble::cli
