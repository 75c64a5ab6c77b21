// nibble quantize: a model folder in, a smaller one out.
#include "nibble/compress/quantize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "cli/command.h"
#include "nibble/core/json.h"
#include "nibble/model/hf_cache.h"
#include "nibble/quant/method.h"
#include "nibble/quant/scheme.h"

namespace nibble::cli {
namespace {

struct Options {
  std::string in, out, scheme = "int8", scale_dtype = "f16";
  std::vector<std::string> keep;
  QuantizeOptions quantize;
};

void check_scale_dtype(QuantizeOptions& q, const std::string& text) {
  const auto dtype = parse_dtype(text);
  if (dtype != DType::f16 && dtype != DType::bf16 && dtype != DType::f32) {
    throw invalid_argument(fmt::format("--scale-dtype {}: use f16, bf16 or f32", in_quotes(text)));
  }
  q.scale_dtype = *dtype;
}

void show(const Common& common, const Options& o, const QuantizeResult& r) {
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
    out.array("warnings", r.warnings).end_object();
    print_out(out.finish());
    return;
  }
  print_out(fmt::format("{}: {} of {} matrices in {}, {:.2f} bits a weight\n", o.out, r.quantized,
                        r.quantized + r.kept, to_string(o.quantize.scheme), r.bits_per_weight));
  print_out(fmt::format("{} bytes instead of {}: {:.2f}x smaller\n", r.file_bytes,
                        r.input_file_bytes, ratio));
}

// The first few; all of them stand in nibble.json.
void show_warnings(const Common& common, const std::vector<std::string>& warnings) {
  constexpr size_t kShown = 3;
  for (size_t i = 0; i < std::min(kShown, warnings.size()); ++i) {
    say(common, "nibble: warning: " + warnings[i]);
  }
  if (warnings.size() > kShown) {
    say(common, fmt::format("nibble: warning: and {} more like these, listed in nibble.json",
                            warnings.size() - kShown));
  }
}

void run(const Common& common, Options o) {
  o.quantize.scheme = parse_scheme(o.scheme);
  check_scale_dtype(o.quantize, o.scale_dtype);
  for (const std::string& k : o.keep) o.quantize.keep.push_back(parse_keep_rule(k));
  o.quantize.command = common.command_line;
  QuantizeResult result;
  {
    const Exec exec = make_exec(common);
    result = quantize_model(resolve_model(o.in), o.out, o.quantize, exec);
  }
  show_warnings(common, result.warnings);
  show(common, o, result);
}

}  // namespace

void add_quantize(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand("quantize", "Make a quantized copy of a model");
  const auto o = std::make_shared<Options>();
  std::vector<std::string> names;
  for (const Method& m : methods()) names.push_back(fmt::format("{} ({})", m.name, m.summary));
  verb->add_option("model", o->in, "Model folder")->required();
  verb->add_option("-o,--out", o->out, "Folder to make")->required();
  verb->add_option("--scheme", o->scheme,
                   fmt::format("TYPE[:tensor|channel|gN][:asym][:a8], such as {}",
                               fmt::join(scheme_examples(), ", ")))
      ->capture_default_str();
  verb->add_option("--method", o->quantize.method, fmt::format("{}", fmt::join(names, "; ")))
      ->capture_default_str();
  verb->add_option("--keep", o->keep,
                   "PATTERN[=f32|f16|bf16]: tensors that stay plain, * and ? allowed (repeatable)");
  verb->add_option("--quantize", o->quantize.also, "lm_head, embeddings: cover these too")
      ->delimiter(',');
  verb->add_option("--scale-dtype", o->scale_dtype, "f16, bf16 or f32")->capture_default_str();
  verb->add_flag("--half-step", o->quantize.half_step_divisor,
                 "Divide absmax by 2^(b-1) - 0.5 instead of 2^(b-1) - 1");
  verb->add_flag("--force", o->quantize.force, "Replace OUT where it exists");
  add_common(*verb, common,
             "nibble quantize my-model -o my-model-int4 --scheme int4:g16:asym --keep 'wte*'");
  verb->callback([&common, o] { run(common, *o); });
}

}  // namespace nibble::cli
