// nibble inspect: what a model holds, how a tensor is distributed, where its activations have
// outliers.
#include "nibble/jobs/inspect.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/load.h"
#include "cli/outputs.h"
#include "nibble/core/error.h"
#include "nibble/model/hf_cache.h"
#include "nibble/report/activation_report.h"
#include "nibble/report/inspect_report.h"

namespace nibble::cli {
namespace {

struct InspectFlags {
  std::string tensor, report;
  bool activations = false, force = false;
  ActivationJob study;
};

// What would be passed over is refused.
void check_options(const CLI::App& verb, const InspectFlags& o) {
  if (o.activations && !o.tensor.empty())
    throw invalid_argument("a tensor and --activations: one of them at a time");
  for (const char* option : {"--text", "--samples", "--report", "--force", "--magnitude"}) {
    if (!o.activations && verb.count(option) > 0)
      throw invalid_argument(fmt::format("{} needs --activations", option));
  }
  if (!o.activations && o.tensor.empty() && verb.count("--sigmas") > 0)
    throw invalid_argument("--sigmas needs a tensor or --activations");
}

void run_activations(const Common& common, const InspectFlags& o) {
  std::vector<std::string> inputs = model_inputs(resolve_model(o.study.model));
  inputs.push_back(o.study.text.text);
  refuse_inputs_as_outputs({"", o.report}, inputs);
  const auto page = open_report(o.report, o.force);
  const ActivationStudy study = inspect_activations(
      o.study, make_exec(common), tell(common, "reading {} (--text FILE for your own)"));
  if (page) {
    page->write(activation_html(study, resolve_model(o.study.model)));
    page->commit();
  }
  show(
      common, [&] { return activation_json(study); }, [&] { return activation_terminal(study); });
}

void run_tensor(const Common& common, const InspectFlags& o) {
  const OutlierStats s =
      inspect_tensor(o.study.model, o.tensor, o.study.sigmas, tell(common), o.study.adapters);
  show(
      common, [&] { return outliers_json(s); }, [&] { return render_terminal(s); });
}

void run_inspect(const Common& common, const InspectFlags& o) {
  if (o.activations) return run_activations(common, o);
  if (!o.tensor.empty()) return run_tensor(common, o);
  InspectResult result = inspect(o.study.model, make_exec(common), tell(common), o.study.adapters);
  result.warnings = in_flags(result.warnings);
  show(
      common, [&] { return inspect_json(result); }, [&] { return render_terminal(result); });
}

}  // namespace

void add_inspect(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand(
      "inspect", "Tensors, schemes, kernels; outliers of weights and activations");
  const auto o = std::make_shared<InspectFlags>();
  verb->add_option("model", o->study.model, "Model folder")->required();
  verb->add_option("tensor", o->tensor, "One tensor: its distribution and outliers");
  add_adapters(*verb, o->study.adapters);
  o->study.text.samples = 32;
  verb->add_option(
          "--activations",
          [o](const std::vector<std::string>& values) {
            o->activations = true;
            if (!values.empty() && !values[0].empty()) o->study.text.text = values[0];
            return true;
          },
          "[TEXT]: outliers of what every layer reads, and what each remedy does to its outputs "
          "(default: text that the model generates)")
      ->expected(0, 1);
  verb->add_option("--text", o->study.text.text, "The same text, said apart");
  verb->add_option("--samples", o->study.text.samples, "Samples of it")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  verb->add_option("--report", o->report, "HTML file with plots");
  verb->add_flag("--force", o->force, "Replace the report where it exists");
  verb->add_option("--magnitude", o->study.magnitude,
                   "Values beyond this are outliers, and what LLM.int8 spares")
      ->capture_default_str()
      ->check(number_between(1e-3, 1e6));
  verb->add_option("--sigmas", o->study.sigmas,
                   "Values beyond this many standard deviations are outliers")
      ->capture_default_str()
      ->check(number_between(0.1, 1e6));
  add_common(*verb, common,
             "nibble inspect my-model\n  nibble inspect my-model "
             "model.layers.0.mlp.down_proj.weight\n  nibble "
             "inspect my-model --activations book.txt --report outliers.html");
  verb->callback([&common, verb, o] {
    check_options(*verb, *o);
    run_inspect(common, *o);
  });
}

}  // namespace nibble::cli
