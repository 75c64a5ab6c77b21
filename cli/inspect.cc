// nibble inspect: what a model holds, how a tensor is distributed, where its activations have
// outliers.
#include <fmt/format.h>

#include "cli/command.h"
#include "cli/flags.h"
#include "cli/inspect_activations.h"
#include "cli/load.h"
#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/json.h"
#include "nibble/eval/distribution.h"
#include "nibble/eval/estimate.h"
#include "nibble/eval/measure.h"
#include "nibble/model/hf_cache.h"
#include "nibble/model/model_folder.h"
#include "nibble/report/numbers.h"

namespace nibble::cli {
namespace {

constexpr int64_t kPrefillChunk = 512;  // what generate takes

struct InspectFlags {
  std::string model, tensor;
  bool activations = false;
  ActivationOptions study;
};

struct TensorRow {
  ParamSpec spec;
  std::string scheme, kernel;
  int64_t bytes = 0, not_finite = 0;
};

std::map<std::string, std::string> kernels_of(const ModelFolder& model, int threads) {
  std::map<std::string, std::string> out;
  const auto note = [&](const LinearGroup& g, size_t i) {
    out[std::string(g.name(i))] = g.kernel_name(i, 1);
  };
  if (std::holds_alternative<MlpConfig>(model.config))
    load_mlp(model, {.threads = threads}).for_each_linear(note);
  else
    load_decoder(model, {.threads = threads}).for_each_linear(note);
  return out;
}

// Quantized weights that are not finite are refused when they are loaded.
int64_t count_not_finite(const Weight& w) {
  const auto* plain = std::get_if<Tensor>(&w);
  if (plain == nullptr || plainly_finite(*plain)) return 0;
  return moments(convert(*plain, DType::f32).data<float>()).not_finite;
}

std::vector<TensorRow> rows_of(const ModelFolder& model, int threads) {
  auto kernels = kernels_of(model, threads);
  std::vector<TensorRow> out;
  for (const ParamSpec& p : parameter_table(model.config)) {
    const Weight w = load_weight(model, p);
    const auto* q = std::get_if<QuantizedTensor>(&w);
    const std::string scheme =
        q != nullptr ? to_string(q->scheme) : std::string(to_string(std::get<Tensor>(w).dtype()));
    out.push_back(
        {p, scheme, kernels[p.name], static_cast<int64_t>(bytes(w)), count_not_finite(w)});
  }
  return out;
}

// What a context of text takes beside the weights.
struct MemoryPlan {
  int64_t weights = 0, weights_per_token = 0, context = 0, scratch = 0;
  std::vector<std::pair<std::string, int64_t>> kv_per_token;  // by the cache's type
};

MemoryPlan plan_of(const ModelFolder& model, int threads) {
  const DecoderConfig& c = model.decoder_config();
  const Decoder decoder = load_decoder(model, {.threads = threads});
  Exec exec;
  exec.threads = threads;
  MemoryPlan out{static_cast<int64_t>(decoder.memory_bytes()),
                 static_cast<int64_t>(decoder.weight_bytes()),
                 c.context,
                 decoder.pass_bytes(std::min<int64_t>(kPrefillChunk, c.context), exec),
                 {}};
  for (const std::string kv : {"f32", "f16", "int8"})
    out.kv_per_token.emplace_back(kv, kv_bytes_per_token(c, parse_kv(kv)));
  return out;
}

void write_plan(const MemoryPlan& p, JsonWriter& out) {
  out.key("memory").begin_object().field("weight_bytes", p.weights);
  out.field("weight_bytes_per_token", p.weights_per_token).field("context", p.context);
  out.field("prefill_scratch_bytes", p.scratch).key("kv_bytes_per_token").begin_object();
  for (const auto& [kv, bytes] : p.kv_per_token) out.field(kv, bytes);
  out.end_object().key("kv_bytes_full_context").begin_object();
  for (const auto& [kv, bytes] : p.kv_per_token) out.field(kv, bytes * p.context);
  out.end_object().end_object();
}

void print_plan(const MemoryPlan& p) {
  print_out(fmt::format("\nmemory: weights {}, {} of them read for each token; prefill of {} {}\n",
                        format_bytes(p.weights), format_bytes(p.weights_per_token),
                        counted(std::min<int64_t>(kPrefillChunk, p.context), "token"),
                        format_bytes(p.scratch)));
  for (const auto& [kv, bytes] : p.kv_per_token) {
    print_out(fmt::format("KV cache in {:4}: {} a token, {} at the full context of {}\n", kv,
                          format_bytes(bytes), format_bytes(bytes * p.context),
                          format_count(p.context)));
  }
}

std::map<std::string, int64_t> tensors_by_scheme(const std::vector<TensorRow>& rows) {
  std::map<std::string, int64_t> out;
  for (const TensorRow& r : rows) out[r.scheme] += r.spec.shape.elements();
  return out;
}

void list_tensors(const Common& common, const ModelFolder& model) {
  const int threads = threads_of(common);
  const auto rows = rows_of(model, threads);
  const bool is_decoder = std::holds_alternative<DecoderConfig>(model.config);
  int64_t parameters = 0;
  for (const TensorRow& r : rows) parameters += r.spec.shape.elements();
  if (common.json) {
    JsonWriter out;
    out.begin_object()
        .field("schema_version", 1)
        .field("model_type", model_type(model.config))
        .field("parameters", parameters);
    out.key("parameters_by_scheme").begin_object();
    for (const auto& [scheme, count] : tensors_by_scheme(rows)) out.field(scheme, count);
    out.end_object();
    if (is_decoder) write_plan(plan_of(model, threads), out);
    out.array("warnings", in_flags(model.warnings));
    out.field("file_bytes", model.tensors->file_bytes())
        .field("bits_per_weight", stored_bits_per_weight(model))
        .key("tensors")
        .begin_array();
    for (const TensorRow& r : rows) {
      out.begin_object().field("name", r.spec.name);
      const auto dims = r.spec.shape.dims();
      out.array("shape", std::vector<int64_t>(dims.begin(), dims.end()))
          .field("scheme", r.scheme)
          .field("bytes", r.bytes)
          .field("not_finite", r.not_finite)
          .field("kernel", r.kernel)
          .end_object();
    }
    return print_raw(out.end_array().end_object().finish());
  }
  print_out(fmt::format("{}: {}, {} weights, {} bytes on disk, {:.2f} bits a weight\n\n",
                        model.path, model_type(model.config), parameters,
                        model.tensors->file_bytes(), stored_bits_per_weight(model)));
  print_out(fmt::format("{:32} {:>14} {:>16} {:>12}  {}\n", "tensor", "shape", "scheme", "bytes",
                        "kernel"));
  for (const TensorRow& r : rows) {
    print_out(fmt::format("{:32} {:>14} {:>16} {:>12}  {}\n", printable(r.spec.name),
                          r.spec.shape.to_string(), r.scheme, r.bytes, r.kernel));
  }
  std::string sums;
  for (const auto& [scheme, count] : tensors_by_scheme(rows))
    sums += fmt::format("{}{} {}", sums.empty() ? "" : ", ", format_count(count), scheme);
  print_out(fmt::format("\nparameters: {}\n", sums));
  for (const TensorRow& r : rows) {
    if (r.not_finite > 0)
      print_out(fmt::format("NOT FINITE: {} of {}\n", counted(r.not_finite, "value"),
                            printable(r.spec.name)));
  }
  if (is_decoder) print_plan(plan_of(model, threads));
}

void write_outliers(const OutlierStats& s, JsonWriter& out) {
  const Moments& m = s.moments;
  out.begin_object()
      .field("tensor", s.tensor)
      .field("count", m.count)
      .field("not_finite", m.not_finite)
      .field("mean", m.mean)
      .field("standard_deviation", m.standard_deviation);
  out.field("minimum", m.minimum)
      .field("maximum", m.maximum)
      .field("absmax", m.absmax)
      .field("kurtosis", m.kurtosis);
  out.field("sigmas", s.k)
      .field("outliers", s.outliers)
      .field("share", s.share)
      .field("worst_channel_ratio", s.worst_channel_ratio);
  out.array("outliers_by_channel", s.by_channel).end_object();
}

std::string describe(const OutlierStats& s) {
  const Moments& m = s.moments;
  const auto channels =
      std::count_if(s.by_channel.begin(), s.by_channel.end(), [](int64_t c) { return c > 0; });
  return fmt::format(
      "{:32} deviation {:9.5f}  absmax {:9.4f} ({:5.1f} deviations)  beyond {:g}: {:6} in {} of {} "
      "channels  widest channel {:.1f}x the median{}\n",
      printable(s.tensor), m.standard_deviation, m.absmax,
      m.standard_deviation > 0 ? m.absmax / m.standard_deviation : 0.0, s.k, s.outliers, channels,
      s.by_channel.size(), s.worst_channel_ratio,
      m.not_finite > 0 ? fmt::format("  NOT FINITE: {}", m.not_finite) : "");
}

void show_outliers(const Common& common, const std::vector<OutlierStats>& all) {
  if (!common.json) {
    for (const OutlierStats& s : all) print_out(describe(s));
    return;
  }
  JsonWriter out;
  out.begin_object().field("schema_version", 1).key("tensors").begin_array();
  for (const OutlierStats& s : all) write_outliers(s, out);
  print_raw(out.end_array().end_object().finish());
}

OutlierStats weight_outliers(const ModelFolder& model, const InspectFlags& o) {
  for (const ParamSpec& p : parameter_table(model.config)) {
    if (p.name != o.tensor) continue;
    const Weight w = load_weight(model, p);
    const auto* q = std::get_if<QuantizedTensor>(&w);
    const Tensor values = q != nullptr ? dequantize(*q) : convert(std::get<Tensor>(w), DType::f32);
    const int64_t n = p.is_matrix() ? p.shape[0] : 1;
    return find_outliers(p.name, values.data<float>(), n, values.elements() / n, o.study.sigmas);
  }
  throw not_found("the model has no tensor of this name (`nibble inspect MODEL` lists them)")
      .at("tensor " + in_quotes(o.tensor))
      .in_file(o.model);
}

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

void run_inspect(const Common& common, const InspectFlags& o) {
  const ModelFolder model = open_model(resolve_model(o.model));
  show_warnings(common, warnings_of(model));
  if (o.activations) return inspect_activations(common, model, o.study);
  if (!o.tensor.empty()) return show_outliers(common, {weight_outliers(model, o)});
  list_tensors(common, model);
}

}  // namespace

void add_inspect(CLI::App& app, Common& common) {
  CLI::App* verb = app.add_subcommand(
      "inspect", "Tensors, schemes, kernels; outliers of weights and activations");
  const auto o = std::make_shared<InspectFlags>();
  verb->add_option("model", o->model, "Model folder")->required();
  verb->add_option("tensor", o->tensor, "One tensor: its distribution and outliers");
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
  verb->add_option("--report", o->study.report, "HTML file with plots");
  verb->add_flag("--force", o->study.force, "Replace the report where it exists");
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
