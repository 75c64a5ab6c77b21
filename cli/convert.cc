// nibble convert: a model into another format, its weights as they are.
#include "nibble/jobs/convert.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/load.h"
#include "cli/outputs.h"
#include "nibble/core/error.h"
#include "nibble/model/hf_cache.h"
#include "nibble/report/convert_report.h"

namespace nibble::cli {
namespace {

struct ConvertFlags {
  ConvertJob job;
  std::string to;
};

OutputFormat format_of(const std::string& name) {
  const auto known = output_formats();
  if (std::find(known.begin(), known.end(), name) != known.end()) return parse_output_format(name);
  throw invalid_argument(fmt::format("--to {}: use {}, or f32, f16 or bf16 for every matrix",
                                     in_quotes(name), fmt::join(known, ", ")));
}

void run_convert(const Common& common, const ConvertFlags& o) {
  ConvertJob job = o.job;
  job.options.command = common.command_line;
  if (!o.to.empty()) {
    job.options.to = parse_dtype(o.to);
    if (!job.options.to) job.options.format = format_of(o.to);
  }
  const std::string out = output_target(job.out, job.options.format).path;
  refuse_inputs_as_outputs({out, ""}, model_inputs(resolve_model(job.model)));
  ConvertResult result = convert(job, make_exec(common));
  result.warnings = in_flags(result.warnings);
  show_warnings(common, result.warnings);
  show(
      common, [&] { return convert_json(job, result); },
      [&] { return render_terminal(job, result); });
}

}  // namespace

void add_convert(CLI::App& app, Common& common) {
  CLI::App* verb =
      app.add_subcommand("convert", "Write a model in another format, its weights as they are");
  const auto o = std::make_shared<ConvertFlags>();
  verb->add_option("model", o->job.model, "Model folder or file")->required();
  verb->add_option("-o,--out", o->job.out, "Folder to make, or a file NAME.gguf for llama.cpp")
      ->required();
  verb->add_option("--to", o->to,
                   fmt::format("{}; or f32, f16 or bf16 for every matrix (default: by OUT's name, "
                               "and each matrix keeps its codes where the output can hold them)",
                               fmt::join(output_formats(), ", ")));
  verb->add_flag("--force", o->job.options.force, "Replace OUT where it exists");
  add_common(*verb, common,
             "nibble convert my-model-gptq -o my-model.gguf\n"
             "  nibble convert my-model-int4 -o my-model-awq --to awq\n"
             "  nibble convert my-model-int4 -o my-model-onnx --to onnx\n"
             "  nibble convert my-model.gguf -o my-model --to bf16");
  verb->callback([&common, o] { run_convert(common, *o); });
}

}  // namespace nibble::cli
