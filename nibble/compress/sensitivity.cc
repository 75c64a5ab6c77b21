#include "nibble/compress/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "nibble/compress/effect_walk.h"
#include "nibble/compress/fisher_walk.h"
#include "nibble/compress/method_chain.h"
#include "nibble/eval/perplexity.h"
#include "nibble/format/gguf_type.h"
#include "nibble/model/write_onnx.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/method.h"
#include "nibble/quant/number.h"
#include "nibble/quant/weight_error.h"

namespace nibble {
namespace {

// Tokens that effects are measured on, and those that the matrices behind are corrected with.
constexpr int64_t kMeasured = 4096, kCorrecting = 8192;

// What follows intB. Asymmetric codes gain where there are few of them; wide codes need no fine
// groups.
constexpr std::string_view kTwo[] = {":g32:asym", ":g64:asym", ":channel:asym", ":g16",
                                     ":g32",      ":g64",      ":g128",         ":channel"};
constexpr std::string_view kNarrow[] = {":channel", ":g128", ":g64", ":g32", ":g32:asym"};
constexpr std::string_view kWide[] = {":channel", ":g128", ":g64", ":g32"};

std::span<const std::string_view> endings(int bits) {
  if (bits == 2) return kTwo;
  return bits <= 4 ? std::span<const std::string_view>(kNarrow) : kWide;
}

// Of the types that hold k inputs in whole blocks, where those of 256 fit them and 8 bits: the
// others take more for less.
std::vector<QuantScheme> gguf_candidates(int64_t k) {
  std::vector<QuantScheme> all, good;
  for (const GgufType& t : gguf_types()) {
    const bool steps = t.scheme && (number(*t.scheme).kind == NumberKind::blocks ||
                                    number(*t.scheme).kind == NumberKind::integers);
    if (!steps || t.pack == nullptr || k % t.elements != 0) continue;
    all.push_back(*t.scheme);
    if (t.elements == kSuperBlock || t.scheme->bits() == 8) good.push_back(*t.scheme);
  }
  return k % kSuperBlock == 0 ? good : all;
}

std::vector<QuantScheme> integer_candidates() {
  std::vector<QuantScheme> out;
  for (int bits = 2; bits <= 8; ++bits) {
    for (const std::string_view end : endings(bits))
      out.push_back(parse_scheme(fmt::format("int{}{}", bits, end)));
  }
  return out;
}

// Steps from an offset, coarse groups first.
std::vector<QuantScheme> affine_candidates() {
  std::vector<QuantScheme> out;
  for (const NamedNumber& n : numbers()) {
    if (!n.traits.offsets || n.traits.block.bytes > 0) continue;
    for (const int group : {128, 64, 32})
      out.push_back(parse_scheme(fmt::format("{}:g{}", n.traits.name, group)));
  }
  return out;
}

// What a layout that was asked for can say beside its usual scheme, which says which numbers it is
// made for.
std::vector<QuantScheme> layout_candidates(const WeightLayout& layout) {
  const QuantScheme usual = parse_scheme(layout.usual_scheme);
  std::vector<QuantScheme> out = number(usual).offsets ? affine_candidates() : integer_candidates();
  std::erase_if(out, [&](const QuantScheme& s) {
    return !layout.can_say({{"a", usual}, {"b", s}});
  });
  return out;
}

// Every scheme that a matrix may get.
std::vector<QuantScheme> candidates(const ParamSpec& p, const QuantizeOptions& options) {
  const int64_t k = p.shape[1];
  if (options.in_gguf) return gguf_candidates(k);
  const OutputFormat format = options.formats.empty() ? OutputFormat() : options.formats.front();
  std::vector<QuantScheme> out =
      format.layout == nullptr ? integer_candidates() : layout_candidates(*format.layout);
  std::erase_if(out, [&](const QuantScheme& s) {
    return storable_scheme(s, k) != s || s.group > k || (format.in_onnx && !fits_onnx(p, s));
  });
  return out;
}

// The effect is measured in one scheme, the first of about so many bits; the rest follows from the
// errors.
size_t anchor_of(const std::vector<QuantScheme>& schemes) {
  constexpr int kBits = 3;
  const auto far = [](const QuantScheme& s) { return std::abs(s.bits() - kBits); };
  const auto least =
      std::min_element(schemes.begin(), schemes.end(),
                       [&](const auto& a, const auto& b) { return far(a) < far(b); });
  return static_cast<size_t>(least - schemes.begin());
}

// Samples with about so many tokens, at least one, at most a share of all.
size_t samples_with(const CalibrationText& text, int64_t tokens, size_t most) {
  const int64_t each = std::max<int64_t>(1, text.tokens() / std::ssize(text.samples));
  return std::clamp<size_t>(static_cast<size_t>(tokens / each), 1, std::max<size_t>(1, most));
}

class Measuring {
 public:
  Measuring(const Model& model, const QuantizeOptions& base,
            const std::vector<ParameterPlan>& plans, const CalibrationText& text, const Exec& exec)
      : model_(model), base_(base), plans_(plans), exec_(exec), text_(text) {
    const size_t all = text.samples.size();
    measured_ = samples_with(text, kMeasured, all / 4);
    text_.samples.resize(
        std::min(all, measured_ + samples_with(text, kCorrecting, all - measured_)));
    const std::string name = parse_method_chain(base.method).quantizer;
    const bool blind = method(name).needs == Calibration::nothing;
    const bool quick = blind || method(name).second_order;
    rounding_ = &method(quick ? name : "imatrix");  // the others take too long
    corrects_ = !blind && base.inputs == CalibrationInputs::corrected;
  }

  std::vector<MatrixCosts> run() {
    for (const ParameterPlan& p : plans_) total_ += p.scheme ? 1 : 0;
    if (rounding_->needs == Calibration::fisher)
      metrics_ = output_metrics(
          model_, text_, {.bf16_width = base_.bf16_width, .spill_folder = base_.spill_folder},
          exec_);
    const EffectOptions options{measured_, corrects_, base_.correction_damping, base_.correction};
    walk_effects(model_, plans_, text_, options, exec_,
                 [this](const GroupInput& input, const Effect& effect) {
                   for (const ParamSpec& p : input.reads) {
                     if (planned(p.name)) matrix(p, &input.statistics, effect);
                   }
                 });
    for (const ParameterPlan& p : plans_) {  // tables are read, not multiplied
      if (p.scheme && !done(p.spec.name))
        matrix(p.spec, nullptr, [this](const auto& name, const auto& w) { return alone(name, w); });
    }
    return std::move(out_);
  }

 private:
  bool planned(const std::string& name) const {
    return std::any_of(plans_.begin(), plans_.end(), [&](const ParameterPlan& p) {
      return p.spec.name == name && p.scheme.has_value();
    });
  }

  bool done(const std::string& name) const {
    return std::any_of(out_.begin(), out_.end(),
                       [&](const MatrixCosts& m) { return m.name == name; });
  }

  // `input`: null for a table.
  void matrix(const ParamSpec& p, const InputStatistics* input, const Effect& effect) {
    exec_.check_stop();
    MatrixCosts costs{p.name, p.shape.elements(), {}};
    const Tensor w = load_weight(model_, p).plain();
    MethodOptions tuning = base_.tuning;
    tuning.scale_dtype = base_.scale_dtype;
    tuning.sweeps = std::min(tuning.sweeps, 1);
    const auto metric = metrics_.find(p.name);
    const bool judged = input == nullptr && metric != metrics_.end();
    const InputStatistics judge = judged ? judging(metric->second) : InputStatistics();
    const InputStatistics* const seen = judged ? &judge : input;
    tuning.clip = tuning.clip || seen == nullptr;
    const Method& rounding = judged ? method("gptq") : seen == nullptr ? method("rtn") : *rounding_;
    const std::vector<QuantScheme> schemes = candidates(p, base_);
    const size_t anchor = anchor_of(schemes);
    for (const QuantScheme& s : schemes) {
      const WeightTask task{w,
                            s,
                            tuning,
                            p.name,
                            seen,
                            exec_.threads,
                            judged || metric == metrics_.end() ? nullptr : &metric->second};
      WeightResult made = rounding.quantize(task);
      if (made.error < 0) made.error = error_of(task, values_of(task), made.weight);
      costs.costs.push_back(
          {s, planned_bytes(s, p.shape[0], p.shape[1], base_.scale_dtype), 0, made.error, false});
      if (costs.costs.size() != anchor + 1) continue;
      costs.costs.back().kl = effect(p.name, dequantize(made.weight));
      costs.costs.back().measured = true;
    }
    fill(costs.costs);
    out_.push_back(std::move(costs));
    exec_.report({"measure", static_cast<int64_t>(out_.size()), total_, p.name});
  }

  // KL is proportional to the error.
  static void fill(std::vector<SchemeCost>& costs) {
    const SchemeCost anchor =
        *std::find_if(costs.begin(), costs.end(), [](const SchemeCost& c) { return c.measured; });
    for (SchemeCost& c : costs)
      c.kl = anchor.error > 0 ? anchor.kl * c.error / anchor.error : anchor.kl;
  }

  // All else as it was.
  double alone(const std::string& name, const Tensor& w) const {
    const LinearOptions linear{.threads = exec_.threads};
    const Decoder original = load_decoder(model_, linear);
    const Decoder changed(
        model_.decoder_config(),
        [&](const ParamSpec& p) -> Weight {
          if (p.name == name) return w;
          return load_weight(model_, p);
        },
        linear);
    Exec quiet = exec_;
    quiet.progress = nullptr;
    const auto sequences = all_scored(
        {text_.samples.end() - static_cast<std::ptrdiff_t>(measured_), text_.samples.end()});
    const double kl =
        compare_models(logits_of(changed), logits_of(original), sequences, quiet, "measure")
            .divergence.kl_mean;
    return std::max(kl, 0.0);
  }

  const Model& model_;
  const QuantizeOptions& base_;
  const std::vector<ParameterPlan>& plans_;
  const Exec& exec_;
  CalibrationText text_;
  OutputMetrics metrics_;
  size_t measured_ = 0;
  const Method* rounding_ = nullptr;
  bool corrects_ = false;
  std::vector<MatrixCosts> out_;
  int64_t total_ = 0;
};

}  // namespace

std::vector<MatrixCosts> matrix_sizes(const QuantizeOptions& options,
                                      const std::vector<ParameterPlan>& plans) {
  std::vector<MatrixCosts> out;
  for (const ParameterPlan& p : plans) {
    if (!p.scheme) continue;
    const Shape& shape = p.spec.shape;
    out.push_back({p.spec.name, shape.elements(), {}});
    for (const QuantScheme& s : candidates(p.spec, options))
      out.back().costs.push_back({s, planned_bytes(s, shape[0], shape[1], options.scale_dtype)});
  }
  return out;
}

std::vector<MatrixCosts> matrix_costs(const Model& model, const QuantizeOptions& options,
                                      const std::vector<ParameterPlan>& plans,
                                      const CalibrationText& text, const Exec& exec) {
  return Measuring(model, options, plans, text, exec).run();
}

}  // namespace nibble
