#include "nibble/compress/activation_study.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "nibble/compress/input_walk.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/in_file.h"
#include "nibble/model/fold_sites.h"
#include "nibble/quant/dense.h"
#include "nibble/quant/rescale.h"
#include "nibble/quant/rtn.h"
#include "nibble/quant/static_activations.h"

namespace nibble {
namespace {

constexpr int64_t kSampleRows = 256;
constexpr int kClipSteps = 40;
constexpr float kLargestCode = 127;
constexpr size_t kListedChannels = 32;

using Rows = std::vector<float>;

// Every value to the nearest of the 255 codes of its channel's scale.
void round_with(std::span<const float> scales, Rows& x) {
  for (size_t i = 0; i < x.size(); ++i) {
    const float s = scales[i % scales.size()];
    x[i] = s > 0 ? std::clamp(std::nearbyint(x[i] / s), -kLargestCode, kLargestCode) * s : 0.0F;
  }
}

double squared_distance(const Rows& a, const Rows& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return sum;
}

// The one scale, of fractions of the largest magnitude's, that rounds x with the least error.
float clipped_scale(const Rows& x, float largest) {
  float best = largest / kLargestCode;
  double least = std::numeric_limits<double>::infinity();
  for (int step = kClipSteps; step > 0; --step) {
    const float s = largest / kLargestCode * static_cast<float>(step) / kClipSteps;
    Rows rounded = x;
    round_with({&s, 1}, rounded);
    const double error = squared_distance(x, rounded);
    if (error >= least) continue;
    least = error;
    best = s;
  }
  return best;
}

// A weight turned to [k, n] for multiply(), as it is and in int8.
struct Reader {
  int64_t n = 0;
  Rows columns, rounded;
};

Rows turned(std::span<const float> w, int64_t n, int64_t k) {
  Rows out(w.size());
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t i = 0; i < k; ++i)
      out[static_cast<size_t>(i * n + r)] = w[static_cast<size_t>(r * k + i)];
  }
  return out;
}

class Study {
 public:
  Study(const Model& model, double magnitude, double sigmas, const Exec& exec,
        std::vector<InputStudy>& out)
      : model_(model),
        magnitude_(magnitude),
        sigmas_(sigmas),
        exec_(exec),
        out_(out),
        sites_(fold_sites(model.decoder_config())) {}

  void visit(const GroupInput& input) {
    InputStudy s;
    s.layer = input.layer;
    s.stage = input.title;
    s.tensor = input.reads[0].name;
    s.channels = input.statistics.k;
    s.rows = input.statistics.rows;
    find_outliers(input, s);
    weigh_remedies(input, s);
    exec_.check_stop();
    out_.push_back(std::move(s));
  }

 private:
  void find_outliers(const GroupInput& input, InputStudy& s) const {
    const auto& absmax = input.statistics.absmax;
    const auto k = static_cast<size_t>(s.channels);
    const size_t m = input.sample.size() / k;
    const double count = std::max<double>(1, static_cast<double>(input.sample.size()));
    const double mean = std::accumulate(input.sample.begin(), input.sample.end(), 0.0) / count;
    double square = 0;
    for (const float v : input.sample) square += (v - mean) * (v - mean);
    s.deviation = std::sqrt(square / count);
    const double wide = sigmas_ * s.deviation, either = std::min(magnitude_, wide);
    for (size_t c = 0; c < k; ++c) {
      s.absmax = std::max<double>(s.absmax, absmax[c]);
      s.beyond_magnitude += absmax[c] > magnitude_ ? 1 : 0;
      s.beyond_deviations += absmax[c] > wide ? 1 : 0;
      if (!(absmax[c] > either)) continue;
      size_t rows = 0;
      for (size_t r = 0; r < m; ++r) rows += std::fabs(input.sample[r * k + c]) > either ? 1 : 0;
      s.outliers.push_back(
          {static_cast<int64_t>(c), absmax[c],
           static_cast<double>(rows) / static_cast<double>(std::max<size_t>(m, 1))});
    }
    std::stable_sort(s.outliers.begin(), s.outliers.end(),
                     [](const auto& a, const auto& b) { return a.absmax > b.absmax; });
    if (s.outliers.size() > kListedChannels) s.outliers.resize(kListedChannels);
  }

  void weigh_remedies(const GroupInput& input, InputStudy& s) const {
    const QuantScheme plain = parse_scheme("int8"), dynamic = parse_scheme("int8:a8");
    SiteTask task{input.statistics, input.sample, {}, DType::f32, {}, exec_.threads};
    std::vector<Rows> weights;
    std::vector<Reader> readers;
    for (const ParamSpec& p : input.reads) {
      const Tensor w = load_weight(model_, p).floats();
      refuse_nonfinite(w, p.name);
      weights.emplace_back(w.data<float>().begin(), w.data<float>().end());
      const Tensor q = dequantize(quantize_rtn(w, plain, {DType::f32}, p.name));
      readers.push_back({p.shape[0], turned(weights.back(), p.shape[0], s.channels),
                         turned(q.data<float>(), p.shape[0], s.channels)});
    }
    for (size_t i = 0; i < weights.size(); ++i)
      task.readers.push_back({weights[i], readers[i].n, dynamic, input.reads[i].name});
    const Rows x(input.sample.begin(), input.sample.end());
    const double whole = output_energy(x, readers, s.channels);
    if (!std::isfinite(whole)) {
      refuse_nonfinite_weights(model_);
      throw corrupt("what it makes of its inputs on this text is too large for f32")
          .at("tensor " + in_quotes(input.reads[0].name));
    }
    const auto set = [&](Remedy r, double error) {
      s.errors[static_cast<size_t>(r)] = whole > 0 ? error / whole : 0;
    };
    const auto rounded = [&](Remedy r, const Rows& rows) {
      set(r, product_error(x, rows, readers, s.channels));
    };
    const auto largest = static_cast<float>(s.absmax);
    rounded(Remedy::weights_only, x);
    rounded(Remedy::none, with_scale(x, largest / kLargestCode));
    rounded(Remedy::clip, with_scale(x, clipped_scale(x, largest)));
    Rows scales = input.statistics.absmax, each = x;
    for (float& v : scales) v /= kLargestCode;
    round_with(scales, each);
    rounded(Remedy::per_channel, each);
    rounded(Remedy::per_token, by_row(x, "int8:a8", s.channels));
    rounded(Remedy::llm_int8, by_row(x, "int8:a8outlier", s.channels));
    smooth(input, task, whole, s);
  }

  static Rows with_scale(Rows x, float scale) {
    round_with({&scale, 1}, x);
    return x;
  }

  Rows by_row(Rows x, std::string_view scheme, int64_t k) const {
    round_activations(parse_scheme(scheme), 1, static_cast<float>(magnitude_), k, x);
    return x;
  }

  void smooth(const GroupInput& input, SiteTask& task, double whole, InputStudy& s) const {
    double& error = s.errors[static_cast<size_t>(Remedy::rescaled)];
    error = -1;
    for (const FoldSite& site : sites_) {
      if (site.key != static_cast<const ParamKey&>(input.reads[0])) continue;
      s.note = site.refusal;
      if (site.producer == Producer::none) return;
      task.tie = [&site](std::span<float> scales) { tie_scales(site, scales); };
      const SiteScales chosen = find_rescaler("smoothquant")->choose(task);
      const double rows =
          static_cast<double>(input.sample.size()) / static_cast<double>(s.channels);
      error = whole > 0 ? chosen.error * rows / whole : 0;
      s.exponent = chosen.exponent;
    }
  }

  static double output_energy(const Rows& x, const std::vector<Reader>& readers, int64_t k) {
    double sum = 0;
    for (const Reader& r : readers) {
      const int64_t m = static_cast<int64_t>(x.size()) / k;
      Rows y(static_cast<size_t>(m * r.n));
      multiply(m, r.n, k, x.data(), k, r.columns.data(), r.n, y.data(), r.n, false);
      for (const float v : y) sum += double{v} * v;
    }
    return sum;
  }

  // Of the readers' outputs: int8 weights on rounded rows against what they should be.
  static double product_error(const Rows& x, const Rows& rounded,
                              const std::vector<Reader>& readers, int64_t k) {
    double sum = 0;
    const int64_t m = static_cast<int64_t>(x.size()) / k;
    for (const Reader& r : readers) {
      Rows exact(static_cast<size_t>(m * r.n)), y(exact.size());
      multiply(m, r.n, k, x.data(), k, r.columns.data(), r.n, exact.data(), r.n, false);
      multiply(m, r.n, k, rounded.data(), k, r.rounded.data(), r.n, y.data(), r.n, false);
      sum += squared_distance(exact, y);
    }
    return sum;
  }

  const Model& model_;
  const double magnitude_, sigmas_;
  const Exec& exec_;
  std::vector<InputStudy>& out_;
  const std::vector<FoldSite> sites_;
};

}  // namespace

RemedyText text_of(Remedy remedy) {
  switch (remedy) {
    case Remedy::weights_only:
      return {"inputs exact",
              "int8 weights, inputs as they are: what rounding the weights alone costs"};
    case Remedy::none:
      return {"none", "one scale for the whole tensor, from the largest value (int8:a8static)"};
    case Remedy::clip:
      return {"clip", "one scale for the whole tensor, with the least squared error"};
    case Remedy::per_token:
      return {"per token", "a scale for each row, found as it comes (int8:a8)"};
    case Remedy::per_channel:
      return {"per channel",
              "a scale for each channel, from the largest value: no integer product can have it"};
    case Remedy::rescaled:
      return {"SmoothQuant", "channels rescaled into the weights, then a scale for each row"};
    case Remedy::llm_int8:
      return {"LLM.int8", "values beyond the threshold stay f32, the rest per token"};
  }
  NIBBLE_CHECK(false && "a remedy without a row");
  return {};
}

ActivationStudy study_activations(const Model& model, const CalibrationText& text, double magnitude,
                                  double sigmas, const Exec& exec) {
  if (is_quantized(model))
    throw unsupported("this model is quantized already; look at the original's activations")
        .in_file(model.path);
  ActivationStudy out{text.source, text.tokens(), magnitude, sigmas, {}};
  Study study(model, magnitude, sigmas, exec, out.inputs);
  walk_inputs(
      model, text, {false, kSampleRows, true, false, {}}, exec,
      [&](const GroupInput& input) { naming_file(model.path, [&] { study.visit(input); }); });
  return out;
}

}  // namespace nibble
