// nibble quantize: a model folder in, a smaller one out.
#include "nibble/jobs/quantize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/load.h"
#include "cli/outputs.h"
#include "nibble/compress/gguf_mixture.h"
#include "nibble/compress/method_chain.h"
#include "nibble/compress/recipe.h"
#include "nibble/model/adapted_model.h"
#include "nibble/model/hf_cache.h"
#include "nibble/quant/scheme.h"
#include "nibble/report/quantize_report.h"

namespace nibble::cli {
namespace {

struct QuantizeFlags {
  std::string in, out, scheme = "int8", scale_dtype = "f16", inputs = "corrected", clip, recipe;
  std::vector<std::string> keep, set, formats;
  CLI::Option* scheme_option = nullptr;
  bool no_act_order = false, dry_run = false;
  int64_t max_memory_mib = 0;
  std::vector<CLI::Option*> held;  // by a recipe
  const CLI::Option* method = nullptr;
  QuantizeOptions quantize;
};

// What a model is quantized to: as the first format has it usually, where nobody says.
QuantScheme scheme_of(const QuantizeFlags& o, const std::vector<OutputFormat>& formats) {
  const bool said = o.scheme_option->count() > 0 || formats.empty();
  return parse_scheme(said ? o.scheme : formats.front().usual_scheme());
}

// The options as given one by one, or those of a recipe; where they are about this run alone, the
// command line's.
QuantizeOptions options_of(const Common& common, const QuantizeFlags& o) {
  QuantizeOptions q = o.recipe.empty() ? o.quantize : read_recipe(o.recipe);
  q.force = o.quantize.force;
  q.resume = o.quantize.resume;
  q.strict = o.quantize.strict;
  q.verify = o.quantize.verify;
  q.type = o.quantize.type;
  q.adapters = o.quantize.adapters;
  for (const std::string& name : o.formats) q.formats.push_back(parse_output_format(name));
  q.command = common.command_line;
  if (!o.recipe.empty()) {
    for (const CLI::Option* option : o.held) {
      if (option->count() == 0) continue;
      throw invalid_argument(
          fmt::format("--recipe takes no {}: write it into the recipe", option->get_name()));
    }
    return q;
  }
  if (!q.importance_file.empty() && o.method->count() == 0) q.method = "imatrix";
  q.scheme = scheme_of(o, q.formats);
  q.scale_dtype = parse_scale_dtype(o.scale_dtype);
  q.inputs = parse_calibration_inputs(o.inputs);
  q.tuning.clip = o.clip == "mse";
  q.tuning.act_order = !o.no_act_order;
  for (const std::string& k : o.keep) q.keep.push_back(parse_keep_rule(k));
  for (const std::string& s : o.set) q.set.push_back(parse_set_rule(s));
  return q;
}

// The fields of the options that are on the command line; a recipe's say what they say.
std::vector<std::string> given_fields(const QuantizeFlags& o) {
  std::vector<std::string> out;
  for (const CLI::Option* option : o.held) {
    if (option->count() > 0) out.emplace_back(field_of(option->get_name()));
  }
  return out;
}

QuantizeJob quantize_job(const Common& common, const QuantizeFlags& o) {
  QuantizeJob job{o.in, o.out, options_of(common, o), given_fields(o)};
  job.options.max_memory = o.max_memory_mib << 20;
  return job;
}

// What would be done and what it would need, nothing written.
void show_plan(const Common& common, const QuantizeJob& job) {
  QuantizePlan p = plan(job, make_exec(common));
  p.warnings = in_flags(p.warnings);
  if (!common.json) show_warnings(common, p.warnings);
  show(
      common, [&] { return plan_json(p); }, [&] { return in_flags(render_terminal(p)); });
}

void run_quantize(const Common& common, const QuantizeFlags& o) {
  const QuantizeJob job = quantize_job(common, o);
  if (o.dry_run) return show_plan(common, job);
  if (o.out.empty()) throw invalid_argument("-o is needed: the folder, or the .gguf file, to make");
  std::vector<std::string> inputs = model_inputs(resolve_model(o.in));
  inputs.insert(inputs.end(),
                {job.options.calibration.text, job.options.importance_file, o.recipe});
  for (const AdapterChoice& a : parse_adapters(job.options.adapters)) inputs.push_back(a.path);
  for (const OutputTarget& t : output_targets(o.out, job.options.formats))
    refuse_inputs_as_outputs({t.path, ""}, inputs);
  QuantizeResult result = quantize(job, make_exec(common),
                                   tell(common, "calibrating on {} (--calib FILE for your own)"));
  result.warnings = in_flags(result.warnings);
  show_warnings(common, result.warnings);
  show(
      common, [&] { return quantize_json(job, result); },
      [&] { return render_terminal(job, result); });
}

void add_calibration(CLI::App& verb, QuantizeFlags& o) {
  CalibrationOptions& c = o.quantize.calibration;
  MethodOptions& t = o.quantize.tuning;
  verb.add_option("--calib", c.text,
                  fmt::format("Text to calibrate on (default: {})", kGeneratedText));
  verb.add_option(
      "--imatrix", o.quantize.importance_file,
      "Instead of a text: an importance matrix as llama-imatrix writes it (GGUF, or the "
      "older .dat), for --method imatrix, which is the default beside it; the model is "
      "not run");
  verb.add_option("--samples", c.samples, "Calibration samples")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  verb.add_option("--length", c.length, "Tokens of a sample, at most the context")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 20))
      ->capture_default_str();
  verb.add_option("--seed", c.seed, "Of the samples")->capture_default_str();
  verb.add_option("--inputs", o.inputs,
                  "What a layer is calibrated on: `quantized` (what the layers quantized before it "
                  "make) or `corrected` (the same, and weights make up for the difference)")
      ->capture_default_str();
  verb.add_option("--damping", t.damping,
                  "gptq, yaqa: share by which the Hessian's diagonal is raised")
      ->check(number_between(0.0, 10.0))
      ->capture_default_str();
  verb.add_option("--sweeps", t.sweeps, "gptq, yaqa: passes of block descent")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  verb.add_flag("--no-act-order", o.no_act_order, "gptq, yaqa: columns in their own order");
  verb.add_option("--clip", o.clip, "rtn: `mse` searches each scale for the least squared error")
      ->check(CLI::IsMember({"mse"}));
  verb.add_option("--threshold", o.quantize.outlier_threshold,
                  "llm_int8: inputs beyond this stay f32 at run time")
      ->check(number_between(1e-3, 1e6))
      ->capture_default_str();
  verb.add_flag("--strict", o.quantize.strict,
                "Stop where calibration would warn: too little text, the wrong text, a layer that "
                "falls back");
  verb.add_flag("--resume", o.quantize.resume, "Go on from OUT.resume of a run that was stopped");
}

void add_training(CLI::App& verb, BlockTrainingOptions& t) {
  verb.add_option("--qat-samples", t.samples, "+qat: samples that each layer is trained on")
      ->check(CLI::Range(int64_t{2}, int64_t{1} << 24))
      ->capture_default_str();
  verb.add_option("--qat-epochs", t.epochs, "+qat: times that they are gone through")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  verb.add_option("--qat-batch", t.batch, "+qat: samples a step")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  verb.add_option("--qat-lr", t.rate, "+qat: learning rate of weights; 0 trains step sizes alone")
      ->check(number_between(0.0, 1.0))
      ->capture_default_str();
  verb.add_option("--qat-scale-lr", t.scale_rate, "+qat: learning rate of step sizes, relative")
      ->check(number_between(0.0, 1.0))
      ->capture_default_str();
}

}  // namespace

void add_quantize(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("quantize", "Make a quantized copy of a model");
  const auto o = std::make_shared<QuantizeFlags>();
  std::vector<std::string> names;
  for (const auto& [name, summary] : chain_parts())
    names.push_back(fmt::format("{} ({})", name, summary));
  verb->add_option("model", o->in, "Model folder")->required();
  verb->add_option("-o,--out", o->out, "Folder to make, or a file NAME.gguf for llama.cpp");
  verb->add_option("--format", o->formats,
                   fmt::format("What is written: {}. Several, joined by commas, become OUT-gptq, "
                               "OUT-awq, OUT.gguf, with the same codes (default: by OUT's name; in "
                               "a folder the first that can say all of the model)",
                               fmt::join(output_formats(), ", ")))
      ->delimiter(',');
  o->scheme_option =
      verb->add_option("--scheme", o->scheme,
                       fmt::format("TYPE[:tensor|channel|gN][:asym][:a8], such as {}",
                                   fmt::join(scheme_examples(), ", ")))
          ->capture_default_str();
  o->method =
      verb->add_option(
              "--method", o->quantize.method,
              fmt::format(
                  "{}. Joined by + they run from left to right: awq+gptq, rotate+gptq, yaqa+qat",
                  fmt::join(names, "; ")))
          ->capture_default_str();
  verb->add_option("--keep", o->keep,
                   "PATTERN[=f32|f16|bf16]: tensors that stay plain, * and ? allowed (repeatable)");
  verb->add_option("--quantize", o->quantize.also,
                   "lm_head, embeddings: cover these too (a head that is the embedding becomes a "
                   "matrix of its own unless both are covered)")
      ->delimiter(',');
  verb->add_option("--scale-dtype", o->scale_dtype,
                   "f16, bf16 or f32; of types with double quantization f32 keeps plain scales")
      ->capture_default_str();
  verb->add_flag("--half-step", o->quantize.half_step_divisor,
                 "Divide absmax by 2^(b-1) - 0.5 instead of 2^(b-1) - 1");
  verb->add_option(
      "--set", o->set,
      "PATTERN=SCHEME: another scheme for some tensors, '*layers.0.*=int8' (repeatable; the first "
      "that fits a tensor counts)");
  verb->add_option("--type", o->quantize.type,
                   fmt::format("Of a .gguf file, instead of --scheme: the mixture of types that "
                               "llama.cpp knows by this name: {}",
                               fmt::join(gguf_mixtures(), ", ")));
  verb->get_option("--type")->excludes(verb->get_option("--scheme"));
  add_calibration(*verb, *o);
  add_training(*verb, o->quantize.training);
  // Everything so far but what is about this run alone is what a recipe holds.
  o->held = verb->get_options([](const CLI::Option* option) {
    const std::string name = option->get_name();
    return name != "model" && name != "--out" && name != "--resume" && name != "--strict" &&
           name != "--type" && name != "--format" && name != "--help";
  });
  add_merged_adapters(*verb, o->quantize.adapters);
  verb->add_option("--recipe", o->recipe,
                   "All of these from a JSON file, or from the nibble.json of a model made before");
  verb->get_option("--type")->excludes(verb->get_option("--recipe"));
  verb->add_flag("--dry-run", o->dry_run,
                 "Only say what would be made, and the memory and time it would need");
  verb->add_option("--max-memory", o->max_memory_mib,
                   "MiB: activations go to a file beside OUT where that keeps below it")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  verb->add_flag("--verify", o->quantize.verify,
                 "Run what was written beside the input, before it appears under its name");
  verb->add_flag("--force", o->quantize.force, "Replace OUT where it exists");
  add_common(
      *verb, common,
      "nibble quantize my-model -o my-model-int4 --scheme int4:g32 --method gptq --calib book.txt "
      "--keep '*down_proj*'\n"
      "  nibble quantize my-model -o my-model-nf4 --scheme nf4\n"
      "  nibble quantize my-model -o my-model-int4 --scheme int4:g128 --format gptq,mlx,gguf\n"
      "  nibble quantize my-model -o my-model.gguf --type Q4_K_M --method gptq --calib book.txt\n"
      "  nibble quantize my-model -o my-model.gguf --type Q4_K_M --imatrix imatrix.gguf");
  verb->callback([&common, o] { run_quantize(common, *o); });
}

}  // namespace nibble::cli
