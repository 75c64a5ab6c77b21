// nibble quantize: a model folder in, a smaller one out.
#include "nibble/compress/quantize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/load.h"
#include "cli/outputs.h"
#include "nibble/compress/estimate.h"
#include "nibble/compress/method_chain.h"
#include "nibble/compress/recipe.h"
#include "nibble/compress/unread_options.h"
#include "nibble/compress/untie.h"
#include "nibble/core/counted.h"
#include "nibble/core/json.h"
#include "nibble/model/hf_cache.h"
#include "nibble/quant/scheme.h"

namespace nibble::cli {
namespace {

struct QuantizeFlags {
  std::string in, out, scheme = "int8", scale_dtype = "f16", inputs = "corrected", clip, recipe;
  std::vector<std::string> keep, set;
  bool no_act_order = false, dry_run = false;
  int64_t max_memory_mib = 0;
  std::vector<CLI::Option*> held;  // by a recipe
  QuantizeOptions quantize;
};

constexpr std::string_view kDefaultText = "text that the model generates";

void check_scale_dtype(QuantizeOptions& q, const std::string& text) {
  const auto dtype = parse_dtype(text);
  if (dtype != DType::f16 && dtype != DType::bf16 && dtype != DType::f32) {
    throw invalid_argument(fmt::format("--scale-dtype {}: use f16, bf16 or f32", in_quotes(text)));
  }
  q.scale_dtype = *dtype;
}

int64_t fallbacks(const QuantizeResult& r) {
  return std::count_if(r.layers.begin(), r.layers.end(),
                       [](const LayerReport& l) { return l.fell_back; });
}

// The calibration error of all matrices together, as a share of rtn's.
double error_ratio(const QuantizeResult& r) {
  double own = 0, rtn = 0;
  for (const LayerReport& l : r.layers) {
    if (l.error < 0) continue;
    own += l.error;
    rtn += l.rtn_error;
  }
  return rtn > 0 ? own / rtn : 1;
}

void show_calibration(const QuantizeResult& r) {
  if (r.layers.empty()) return;
  print_out(fmt::format("calibrated on {}: error {:.2f} of rtn's there, {} of {} fell back\n",
                        r.calibration, error_ratio(r), fallbacks(r),
                        counted(std::ssize(r.layers), "matrix", "matrices")));
}

// "35 of 35 matrices in int8", "34 of 35 matrices quantized (1 f32, 30 int4:g32, 4 int8)".
std::string matrices_of(const QuantizeResult& r) {
  const int64_t all = r.quantized + r.kept;
  if (r.stored.size() == 1)
    return fmt::format("{} of {} in {}", all, counted(all, "matrix", "matrices"),
                       r.stored.begin()->first);
  std::vector<std::string> parts;
  for (const auto& [type, count] : r.stored) parts.push_back(fmt::format("{} {}", count, type));
  return fmt::format("{} of {} quantized ({})", r.quantized, counted(all, "matrix", "matrices"),
                     fmt::join(parts, ", "));
}

void show_quantize(const Common& common, const QuantizeFlags& o, const QuantizeResult& r) {
  const double ratio =
      r.file_bytes > 0 ? static_cast<double>(r.input_file_bytes) / static_cast<double>(r.file_bytes)
                       : 0;
  if (common.json) {
    JsonWriter out;
    out.begin_object()
        .field("schema_version", 1)
        .field("out", o.out)
        .field("scheme", to_string(o.quantize.scheme))
        .field("method", o.quantize.method);
    out.field("file_bytes", r.file_bytes)
        .field("input_file_bytes", r.input_file_bytes)
        .field("compression_ratio", ratio);
    out.field("bits_per_weight", r.bits_per_weight)
        .field("matrices_quantized", r.quantized)
        .field("matrices_kept", r.kept);
    out.key("matrices_by_type").begin_object();
    for (const auto& [type, count] : r.stored) out.field(type, count);
    out.end_object();
    if (!r.layers.empty()) {
      out.field("calibration", r.calibration)
          .field("error_ratio", error_ratio(r))
          .field("fallbacks", fallbacks(r))
          .field("resumed_layers", r.resumed_layers);
    }
    out.array("warnings", in_flags(r.warnings)).end_object();
    print_raw(out.finish());
    return;
  }
  print_out(
      fmt::format("{}: {}, {:.2f} bits a weight\n", o.out, matrices_of(r), r.bits_per_weight));
  print_out(fmt::format("{} bytes instead of {}: {:.2f}x smaller\n", r.file_bytes,
                        r.input_file_bytes, ratio));
  show_calibration(r);
}

// The options as given one by one, or those of a recipe; where they are about this run alone, the
// command line's.
QuantizeOptions options_of(const Common& common, const QuantizeFlags& o) {
  QuantizeOptions q = o.recipe.empty() ? o.quantize : read_recipe(o.recipe);
  q.force = o.quantize.force;
  q.resume = o.quantize.resume;
  q.strict = o.quantize.strict;
  q.command = common.command_line;
  if (!o.recipe.empty()) {
    for (const CLI::Option* option : o.held) {
      if (option->count() == 0) continue;
      throw invalid_argument(
          fmt::format("--recipe takes no {}: write it into the recipe", option->get_name()));
    }
    return q;
  }
  q.scheme = parse_scheme(o.scheme);
  check_scale_dtype(q, o.scale_dtype);
  q.inputs = parse_calibration_inputs(o.inputs);
  q.tuning.clip = o.clip == "mse";
  q.tuning.act_order = !o.no_act_order;
  for (const std::string& k : o.keep) q.keep.push_back(parse_keep_rule(k));
  for (const std::string& s : o.set) q.set.push_back(parse_set_rule(s));
  return q;
}

// Of the options on the command line, what the method does not read; a recipe's say what they say.
void note_unread(const QuantizeFlags& o, std::vector<std::string>& warnings) {
  if (!o.recipe.empty()) return;
  std::vector<std::string> given;
  for (const CLI::Option* option : o.held) {
    if (option->count() > 0) given.emplace_back(field_of(option->get_name()));
  }
  const std::string unread = unread_options(o.quantize, given);
  if (!unread.empty()) warnings.insert(warnings.begin(), unread);
}

// What would be done and what it would need, nothing written.
void show_plan(const Common& common, const QuantizeFlags& o) {
  ModelFolder model = open_model(resolve_model(o.in));
  std::vector<std::string> warnings;
  const QuantizeOptions last = without_steps(o.quantize);
  check_options(model, last);
  if (auto untied = untied_model(model, last, warnings)) model = std::move(*untied);
  const auto plans = plan_quantization(model, last, warnings);
  note_unread(o, warnings);
  const double bits = planned_bits_per_weight(plans, last.scale_dtype);
  const QuantizeEstimate e = estimate_quantization(model, plans, last, threads_of(common));
  const int64_t memory = std::max(e.memory_bytes, e.text_bytes);
  if (common.json) {
    JsonWriter out;
    out.begin_object().field("schema_version", 1).field("bits_per_weight", bits);
    out.field("matrix_bytes", e.file_bytes).field("calibration_tokens", e.tokens);
    out.field("memory_bytes", memory).field("spilled_memory_bytes", e.spilled_bytes);
    out.field("seconds", e.seconds).array("warnings", in_flags(warnings)).end_object();
    return print_raw(out.finish());
  }
  show_warnings(common, warnings);
  print_out(fmt::format("{:.2f} bits a weight, matrices of {} bytes\n", bits, e.file_bytes));
  print_out(
      fmt::format("about {} MiB of memory ({} with --max-memory, activations in a file), about "
                  "{:.0f} s{}\n",
                  memory >> 20, e.spilled_bytes >> 20, e.seconds,
                  e.tokens > 0 && o.quantize.calibration.text.empty()
                      ? ", and the time to write the calibration text"
                      : ""));
}

void run_quantize(const Common& common, QuantizeFlags o) {
  o.quantize = options_of(common, o);
  const bool calibrates = reads_text(o.quantize);
  o.quantize.max_memory = o.max_memory_mib << 20;
  if (o.dry_run) return show_plan(common, o);
  if (o.out.empty()) throw invalid_argument("-o is needed: the folder to make");
  const std::string model = resolve_model(o.in);  // an error of which comes before any notice
  std::vector<std::string> inputs = model_inputs(model);
  inputs.insert(inputs.end(), {o.quantize.calibration.text, o.recipe});
  refuse_inputs_as_outputs({o.out, ""}, inputs);
  if (calibrates && o.quantize.calibration.text.empty())
    say(common, fmt::format("nibble: calibrating on {} (--calib FILE for your own)", kDefaultText));
  QuantizeResult result;
  {
    const Exec exec = make_exec(common);
    result = quantize_model(model, o.out, o.quantize, exec);
  }
  note_unread(o, result.warnings);
  show_warnings(common, result.warnings);
  show_quantize(common, o, result);
}

void add_calibration(CLI::App& verb, QuantizeFlags& o) {
  CalibrationOptions& c = o.quantize.calibration;
  MethodOptions& t = o.quantize.tuning;
  verb.add_option("--calib", c.text,
                  fmt::format("Text to calibrate on (default: {})", kDefaultText));
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

}  // namespace

void add_quantize(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("quantize", "Make a quantized copy of a model");
  const auto o = std::make_shared<QuantizeFlags>();
  std::vector<std::string> names;
  for (const auto& [name, summary] : chain_parts())
    names.push_back(fmt::format("{} ({})", name, summary));
  verb->add_option("model", o->in, "Model folder")->required();
  verb->add_option("-o,--out", o->out, "Folder to make");
  verb->add_option("--scheme", o->scheme,
                   fmt::format("TYPE[:tensor|channel|gN][:asym][:a8], such as {}",
                               fmt::join(scheme_examples(), ", ")))
      ->capture_default_str();
  verb->add_option("--method", o->quantize.method,
                   fmt::format("{}. Joined by + they run from left to right: awq+gptq, rotate+gptq",
                               fmt::join(names, "; ")))
      ->capture_default_str();
  verb->add_option("--keep", o->keep,
                   "PATTERN[=f32|f16|bf16]: tensors that stay plain, * and ? allowed (repeatable)");
  verb->add_option("--quantize", o->quantize.also,
                   "lm_head, embeddings: cover these too (a head that is the embedding becomes a "
                   "matrix of its own unless both are covered)")
      ->delimiter(',');
  verb->add_option(
          "--scale-dtype", o->scale_dtype,
          "f16, bf16 or f32; of nf4 and fp4 f32 keeps plain scales, the others quantize them, too")
      ->capture_default_str();
  verb->add_flag("--half-step", o->quantize.half_step_divisor,
                 "Divide absmax by 2^(b-1) - 0.5 instead of 2^(b-1) - 1");
  verb->add_option(
      "--set", o->set,
      "PATTERN=SCHEME: another scheme for some tensors, '*layers.0.*=int8' (repeatable; the first "
      "that fits a tensor counts)");
  add_calibration(*verb, *o);
  // Everything so far but what is about this run alone is what a recipe holds.
  o->held = verb->get_options([](const CLI::Option* option) {
    const std::string name = option->get_name();
    return name != "model" && name != "--out" && name != "--resume" && name != "--strict" &&
           name != "--help";
  });
  verb->add_option("--recipe", o->recipe,
                   "All of these from a JSON file, or from the nibble.json of a model made before");
  verb->add_flag("--dry-run", o->dry_run,
                 "Only say what would be made, and the memory and time it would need");
  verb->add_option("--max-memory", o->max_memory_mib,
                   "MiB: activations go to a file beside OUT where that keeps below it")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 30));
  verb->add_flag("--force", o->quantize.force, "Replace OUT where it exists");
  add_common(
      *verb, common,
      "nibble quantize my-model -o my-model-int4 --scheme int4:g32 --method gptq --calib book.txt "
      "--keep '*down_proj*'\n"
      "  nibble quantize my-model -o my-model-nf4 --scheme nf4");
  verb->callback([&common, o] { run_quantize(common, *o); });
}

}  // namespace nibble::cli
