// nibble auto: the bits of every matrix chosen under a budget.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/load.h"
#include "cli/outputs.h"
#include "nibble/core/error.h"
#include "nibble/jobs/quantize.h"
#include "nibble/model/adapted_model.h"
#include "nibble/model/hf_cache.h"
#include "nibble/report/auto_report.h"

namespace nibble::cli {
namespace {

struct AutoFlags {
  AutoJob job;
  std::string size, report, format;
  double bits = 0, max_kl = 0;
};

// "300MB", "1.5GB", "4096": decimal units.
int64_t parse_size(const std::string& text) {
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  const std::string unit = text.substr(used);
  const double factor = unit.empty() || unit == "B"    ? 1
                        : unit == "kB" || unit == "KB" ? 1e3
                        : unit == "MB"                 ? 1e6
                        : unit == "GB"                 ? 1e9
                                                       : 0;
  if (used == 0 || factor == 0 || !(value > 0) || value * factor > 1e15)
    throw invalid_argument(
        fmt::format("--max-size {}: write 300MB, 1.5GB or bytes", in_quotes(text)));
  return static_cast<int64_t>(value * factor);
}

AutoJob auto_job(const Common& common, const AutoFlags& o) {
  AutoJob job = o.job;
  if (o.bits > 0) job.budget.bits = o.bits;
  if (o.max_kl > 0) job.budget.max_kl = o.max_kl;
  if (!o.size.empty()) job.budget.max_size = parse_size(o.size);
  if (!o.format.empty()) job.options.formats = {parse_output_format(o.format)};
  job.options.command = common.command_line;
  return job;
}

void run_auto(const Common& common, const AutoFlags& o) {
  const AutoJob job = auto_job(common, o);
  std::vector<std::string> inputs = model_inputs(resolve_model(job.model));
  inputs.push_back(job.options.calibration.text);
  for (const AdapterChoice& a : parse_adapters(job.options.adapters)) inputs.push_back(a.path);
  refuse_inputs_as_outputs({output_targets(job.out, job.options.formats).front().path, o.report},
                           inputs);
  const auto report = open_report(o.report, job.options.force);
  const AutoResult result = choose_bits(job, make_exec(common));
  show_warnings(common, result.written.warnings);
  show_warnings(common, result.warnings);
  if (report) {
    report->write(auto_html(result, job.model));
    report->commit();
  }
  show(
      common, [&] { return auto_json(result); }, [&] { return auto_terminal(result); });
}

}  // namespace

void add_auto(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("auto", "Choose the bits of each matrix under a budget");
  const auto o = std::make_shared<AutoFlags>();
  o->job.options = auto_options();
  verb->add_option("model", o->job.model, "Model folder")->required();
  verb->add_option("-o,--out", o->job.out, "Folder to make, or a file NAME.gguf for llama.cpp")
      ->required();
  verb->add_option("--format", o->format,
                   "What is written, as in `nibble quantize`: the choice is among what it holds "
                   "(not awq, bitsandbytes: one scheme for all)");
  verb->add_option("--bits", o->bits, "Bits a weight, over all quantized matrices")
      ->check(number_between(1.0, 16.0));
  verb->add_option("--max-kl", o->max_kl, "KL divergence from the original, in nats")
      ->check(number_between(1e-7, 10.0));
  verb->add_option("--max-size", o->size,
                   "Of the tensor files, or of the .gguf file: 300MB, 1.5GB or bytes");
  verb->add_option("--method", o->job.options.method,
                   "As in `nibble quantize`, or `best`: yaqa or awq+yaqa, by measuring")
      ->capture_default_str();
  verb->add_option("--calib", o->job.options.calibration.text,
                   fmt::format("Text to calibrate on (default: {})", kGeneratedText));
  verb->add_option("--samples", o->job.options.calibration.samples, "Calibration samples")
      ->check(CLI::Range(int64_t{4}, int64_t{1} << 20))
      ->capture_default_str();
  verb->add_option("--length", o->job.options.calibration.length, "Tokens of a sample")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 20))
      ->capture_default_str();
  verb->add_option("--seed", o->job.options.calibration.seed, "Of the samples")
      ->capture_default_str();
  add_merged_adapters(*verb, o->job.options.adapters);
  verb->add_option("--report", o->report, "HTML file with the frontier as a plot");
  verb->add_flag("--force", o->job.options.force, "Replace OUT and the report where they exist");
  add_common(*verb, common,
             "nibble auto my-model -o my-model-4.5 --bits 4.5 --report bits.html\n"
             "  nibble auto my-model -o my-model.gguf --bits 4.5 --calib book.txt");
  verb->callback([&common, o] { run_auto(common, *o); });
}

}  // namespace nibble::cli
