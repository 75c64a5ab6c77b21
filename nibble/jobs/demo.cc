#include "nibble/jobs/demo.h"

#include <fmt/format.h>

#include "nibble/compress/quantize.h"
#include "nibble/core/counted.h"
#include "nibble/core/files.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/posix.h"
#include "nibble/core/version.h"
#include "nibble/eval/activations.h"
#include "nibble/eval/bigram.h"
#include "nibble/eval/measure.h"
#include "nibble/eval/perplexity.h"
#include "nibble/jobs/train.h"
#include "nibble/text/line_data.h"

namespace nibble {
namespace {

constexpr double kSigmas = 6;  // values beyond this many standard deviations count as outliers
constexpr int64_t kActivationRows = 4096;  // rows of activations looked at for each input
constexpr int kBins = 81;
constexpr std::string_view kSensitivityScheme = "int4:g16";

// One row of the demo's table.
struct Variant {
  std::string_view name, folder, scheme;
  bool keep_embeddings, trained;  // trained: for the scheme, from the start
};
constexpr Variant kVariants[] = {
    {"int8 per tensor", "int8-tensor", "int8:tensor", false, false},
    {"int8 per channel", "int8", "int8:channel", false, false},
    {"int8, embeddings kept", "int8-keep-embeddings", "int8:channel", true, false},
    {"int8 + int8 activations", "int8-a8", "int8:a8", false, false},
    {"int4 g16", "int4-g16", "int4:g16", false, false},
    {"int4 g16 asymmetric", "int4-g16-asym", "int4:g16:asym", false, false},
    {"int3 g16", "int3-g16", "int3:g16", false, false},
    {"int3 g16, QAT", "int3-g16-qat", "int3:g16", false, true},
    {"int2 g16", "int2-g16", "int2:g16", false, false},
    {"int2 g16, QAT", "int2-g16-qat", "int2:g16", false, true},
};

QuantizeOptions options_of(const Variant& v) {
  QuantizeOptions o;
  o.scheme = parse_scheme(v.scheme);
  if (v.keep_embeddings) o.keep = {{"wte", {}}, {"wpe", {}}};
  o.command = fmt::format("nibble quantize f32 -o {} --scheme {}{}", v.folder, v.scheme,
                          v.keep_embeddings ? " --keep wte --keep wpe" : "");
  return o;
}

// An earlier demo's folder may be replaced without being asked; anybody else's may not.
bool may_replace(const DemoJob& job) { return job.force || exists(job.out + "/" + kDemoMarker); }

// (dequantized - original) / scale, so that rounding alone stays within +-0.5 whatever the tensor.
std::vector<float> error_in_scales(const QuantizedTensor& q, std::span<const float> x,
                                   std::span<const float> y) {
  const Tensor scales = convert(q.scales, DType::f32);
  const auto s = scales.data<float>();
  const auto k = static_cast<size_t>(q.k()),
             group = static_cast<size_t>(q.scheme.group_size(q.k()));
  const auto groups = static_cast<size_t>(scales.shape()[1]);
  std::vector<float> error(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    const size_t at = s.size() == 1 ? 0 : i / k * groups + i % k / group;
    error[i] = s[at] > 0 ? (y[i] - x[i]) / s[at] : 0.0f;
  }
  return error;
}

WeightHistograms histograms_of(const ParamSpec& spec, const Tensor& original,
                               const Model& quantized) {
  const auto q = load_weight(quantized, spec).quantized();
  const Tensor back = dequantize(q);
  const auto x = original.data<float>(), y = back.data<float>();
  const double range = moments(x).absmax;
  return {spec.name, to_string(q.scheme), histogram(x, -range, range, kBins),
          histogram(y, -range, range, kBins),
          histogram(error_in_scales(q, x, y), -0.6, 0.6, kBins)};
}

void add_weights(const Model& base, const std::string& folder, DemoResult& result) {
  const Model int8 = open_model(folder + "/int8-tensor"), int4 = open_model(folder + "/int4-g16");
  for (const ParamSpec& spec : parameter_table(base.config)) {
    if (!spec.is_matrix()) continue;
    const Tensor w = load_weight(base, spec).floats();
    result.histograms.push_back(histograms_of(spec, w, int8));
    result.histograms.push_back(histograms_of(spec, w, int4));
    const int64_t n = spec.shape[0], k = spec.shape[1];
    result.weight_outliers.push_back(find_outliers(spec.name, w.data<float>(), n, k, kSigmas));
    for (const int bits : {8, 4}) {
      result.remedies.push_back(remedy_errors(spec.name, w.data<float>(), n, k, bits, kSigmas));
    }
  }
}

// The loss with one tensor quantized and all others as they were.
void add_sensitivity(const Model& base, const std::vector<ScoredSequence>& heldout,
                     const Exec& exec, DemoResult& result) {
  QuantizeOptions options;
  options.scheme = parse_scheme(kSensitivityScheme);
  std::vector<std::string> warnings;
  const auto plans = plan_quantization(base, options, warnings);
  const LinearOptions linear{.threads = exec.threads};
  const Decoder original = load_decoder(base, linear);
  for (const ParameterPlan& plan : plans) {
    if (!plan.scheme) continue;
    const auto load = [&](const ParamSpec& p) {
      return p.name == plan.spec.name ? quantize_parameter(base, plan, options, exec.threads)
                                      : load_weight(base, p);
    };
    const Decoder one(base.decoder_config(), load, linear);
    const auto c = compare_models(logits_of(one), logits_of(original), heldout, exec,
                                  "sensitivity of " + plan.spec.name);
    result.sensitivity.push_back(
        {plan.spec.name, std::string(kSensitivityScheme), c.loss_difference, c.divergence.kl_mean});
  }
}

void describe(const DemoJob& job, const TrainSummary& t, const Exec& exec, DemoResult& r) {
  const DecoderConfig& c = t.config;
  r.run = run_info(exec, job.command);
  r.seed = job.seed;
  r.data =
      fmt::format("{}: {} unique names, {} for training, {} held out", job.text.name,
                  t.train_sequences + t.heldout_sequences, t.train_sequences, t.heldout_sequences);
  r.model = fmt::format("microGPT, {}, {} wide, {}, {} weights", counted(c.layers, "layer"),
                        c.hidden_size, counted(c.heads, "head"), t.parameters);
  r.steps = t.steps;
  r.batch = t.batch;
  r.train_seconds = t.seconds;
  r.train_tokens_per_second = t.tokens_per_second;
  r.losses = t.losses;
  r.heldout_loss = t.heldout_loss;
}

void write_marker(const std::string& folder) {
  AtomicFile file(folder + "/" + kDemoMarker);
  file.write(
      fmt::format("{{\"made_by\": \"nibble demo\", \"nibble_version\": \"{}\"}}\n", version()));
  file.commit();
}

TrainJob train_job(const DemoJob& job, const std::string& out) {
  TrainJob base;
  base.preset = job.preset;
  base.text = job.text;
  base.out = out;
  base.steps = job.steps;
  base.batch = job.batch;
  base.seed = job.seed;
  return base;
}

// One variant's folder: the base quantized, or the same run once more with the quantizer in it.
void make(const Variant& v, const DemoJob& job, const Model& base, const std::string& path,
          const Exec& exec) {
  if (!v.trained) {
    quantize_model(base.path, path, options_of(v), exec);
    return;
  }
  TrainJob trained = train_job(job, path);
  trained.qat.scheme = v.scheme;
  trained.samples = 0;
  train(trained, exec);
}

// The base, then each variant, made into a folder of its own.
void add_models(const DemoJob& job, const Model& base, const std::string& folder,
                const std::vector<ScoredSequence>& heldout, const Exec& exec, DemoResult& result) {
  MeasureOptions measure;
  measure.runs = job.runs;
  measure.seed = job.seed;
  const auto add = [&](std::string_view name, std::string_view at, const Model& model) {
    result.models.push_back(measure_model(std::string(name), model, base, heldout, measure, exec));
    result.models.back().folder = at;
  };
  add("f32", "f32", base);
  for (const Variant& v : kVariants) {
    const std::string path = fmt::format("{}/{}", folder, v.folder);
    make(v, job, base, path, exec);
    add(v.name, v.folder, open_model(path));
  }
}

}  // namespace

DemoResult demo(const DemoJob& job, const Exec& exec, const DemoHook& finish) {
  AtomicFolder folder(job.out, may_replace(job));
  const std::string& at = folder.path();
  DemoResult result;
  describe(job, train(train_job(job, at + "/f32"), exec), exec, result);
  const Model base = open_model(at + "/f32");
  const SequenceData data = sequences(job.text.text, base.require_tokenizer(),
                                      base.decoder_config().context, result.data_seed);
  const auto heldout = all_scored(data.heldout);
  result.bigram_loss = bigram_loss(data, base.decoder_config().vocab_size);
  add_models(job, base, at, heldout, exec, result);
  add_weights(base, at, result);
  result.activation_outliers =
      activation_outliers(base, data.heldout, kActivationRows, kSigmas, exec);
  add_sensitivity(base, heldout, exec, result);
  if (finish) finish(result, at);
  write_marker(at);
  folder.commit();
  return result;
}

}  // namespace nibble
