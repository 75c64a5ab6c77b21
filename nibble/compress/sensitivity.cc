#include "nibble/compress/sensitivity.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/compress/input_walk.h"
#include "nibble/eval/perplexity.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/method.h"
#include "nibble/quant/weight_error.h"

namespace nibble {
namespace {

constexpr size_t kMeasureSamples = 8;

// What follows intB, the scheme that KL is measured in first. Wide codes need no fine groups.
constexpr std::string_view kNarrow[] = {":g32:asym", ":g16",  ":g32",    ":g64:asym",
                                        ":g64",      ":g128", ":channel"};
constexpr std::string_view kWide[] = {":g32", ":g128", ":channel"};
constexpr int kNarrowBits = 4;

// Every scheme that a matrix with k inputs may get.
std::vector<QuantScheme> candidates(int64_t k) {
  std::vector<QuantScheme> out;
  for (int bits = 2; bits <= 8; ++bits) {
    const auto ends = bits <= kNarrowBits ? std::span<const std::string_view>(kNarrow) : kWide;
    for (const std::string_view end : ends) {
      const QuantScheme s = parse_scheme(fmt::format("int{}{}", bits, end));
      if (storable_scheme(s, k) == s && s.group <= k) out.push_back(s);
    }
  }
  return out;
}

// KL is measured at these widths, in the finest scheme of each; the rest follows by ratio.
bool is_anchor(const QuantScheme& s, const std::vector<QuantScheme>& all) {
  if (s.bits() > kNarrowBits) return false;
  const auto first = std::find_if(all.begin(), all.end(),
                                  [&](const QuantScheme& o) { return o.bits() == s.bits(); });
  return *first == s;
}

class Measuring {
 public:
  Measuring(const ModelFolder& model, const QuantizeOptions& base,
            const std::vector<ParameterPlan>& plans, const CalibrationText& text, const Exec& exec)
      : model_(model),
        base_(base),
        plans_(plans),
        text_(text),
        exec_(exec),
        original_(load_decoder(model)) {
    const size_t count = std::min(kMeasureSamples, std::max<size_t>(1, text.samples.size() / 2));
    sequences_ = all_scored(
        {text.samples.begin(), text.samples.begin() + static_cast<std::ptrdiff_t>(count)});
  }

  std::vector<MatrixCosts> run() {
    for (const ParameterPlan& p : plans_) total_ += p.scheme ? 1 : 0;
    walk_inputs(model_, text_, {true, 0, true, {}}, exec_, [this](const GroupInput& input) {
      for (const ParamSpec& p : input.reads) {
        if (planned(p.name)) matrix(p, &input.statistics);
      }
    });
    for (const ParameterPlan& p : plans_) {  // tables are read, not multiplied
      if (p.scheme && !done(p.spec.name)) matrix(p.spec, nullptr);
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
  void matrix(const ParamSpec& p, const InputStatistics* input) {
    exec_.check_stop();
    MatrixCosts costs{p.name, p.shape.elements(), {}};
    const Tensor w = std::get<Tensor>(load_weight(model_, p));
    const auto schemes = candidates(p.shape[1]);
    MethodOptions tuning = base_.tuning;
    tuning.scale_dtype = base_.scale_dtype;
    tuning.clip = input == nullptr;
    const Method& rounding = method(input == nullptr ? "rtn" : "imatrix");
    double anchor_kl = 0, anchor_error = 0;
    for (const QuantScheme& s : schemes) {
      const WeightTask task{w, s, tuning, p.name, input, exec_.threads};
      WeightResult made = rounding.quantize(task);
      if (made.error < 0) made.error = error_of(task, values_of(task), made.weight);
      SchemeCost cost{s, planned_bytes(s, p.shape[0], p.shape[1], base_.scale_dtype), 0, false};
      if (is_anchor(s, schemes)) {
        cost.kl = kl_of(p.name, made.weight);
        cost.measured = true;
        anchor_kl = cost.kl;
        anchor_error = made.error;
      } else {
        cost.kl = anchor_error > 0 ? anchor_kl * made.error / anchor_error : anchor_kl;
      }
      costs.costs.push_back(cost);
    }
    out_.push_back(std::move(costs));
    exec_.report({"measure", static_cast<int64_t>(out_.size()), total_, p.name});
  }

  // All else as it was.
  double kl_of(const std::string& name, const QuantizedTensor& q) const {
    const Decoder changed(model_.decoder_config(), [&](const ParamSpec& p) -> Weight {
      if (p.name == name) return q;
      return load_weight(model_, p);
    });
    Exec quiet = exec_;
    quiet.progress = nullptr;
    const double kl =
        compare_models(logits_of(changed), logits_of(original_), sequences_, quiet, "measure")
            .divergence.kl_mean;
    return std::max(kl, 0.0);
  }

  const ModelFolder& model_;
  const QuantizeOptions& base_;
  const std::vector<ParameterPlan>& plans_;
  const CalibrationText& text_;
  const Exec& exec_;
  const Decoder original_;
  std::vector<ScoredSequence> sequences_;
  std::vector<MatrixCosts> out_;
  int64_t total_ = 0;
};

}  // namespace

std::vector<MatrixCosts> matrix_costs(const ModelFolder& model, const QuantizeOptions& options,
                                      const std::vector<ParameterPlan>& plans,
                                      const CalibrationText& text, const Exec& exec) {
  return Measuring(model, options, plans, text, exec).run();
}

}  // namespace nibble
