#include "nibble/compress/auto_bits.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/compress/input_walk.h"
#include "nibble/compress/method_chain.h"
#include "nibble/core/error.h"
#include "nibble/eval/perplexity.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/knapsack.h"
#include "nibble/quant/weight_error.h"

namespace nibble {
namespace {

constexpr size_t kMeasureSamples = 8, kProofSamples = 16, kFrontier = 16;
constexpr int kMostTries = 6;
// How far below --max-kl the calibration text is aimed at: other text differs.
constexpr double kMargin = 0.85;

// Every scheme that a matrix with k inputs may get.
std::vector<QuantScheme> candidates(int64_t k) {
  std::vector<QuantScheme> out;
  for (int bits = 2; bits <= 8; ++bits) {
    for (const char* end : {":g32:asym", ":g32", ":g64", ":g128", ":channel"}) {
      const QuantScheme s = parse_scheme(fmt::format("int{}{}", bits, end));
      const bool fits = storable_scheme(s, k) == s && s.group <= k;
      const bool coarse = s.granularity == Granularity::channel && k % 32 == 0 && bits < 8;
      if (fits && !coarse) out.push_back(s);
    }
  }
  return out;
}

// KL is measured at these widths, in the finest scheme of each; the rest follows by ratio.
bool is_anchor(const QuantScheme& s, const std::vector<QuantScheme>& all) {
  if (s.bits() > 4) return false;
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
        if (planned(p.name)) matrix(p, input.statistics);
      }
    });
    return std::move(out_);
  }

 private:
  bool planned(const std::string& name) const {
    return std::any_of(plans_.begin(), plans_.end(), [&](const ParameterPlan& p) {
      return p.spec.name == name && p.scheme.has_value();
    });
  }

  void matrix(const ParamSpec& p, const InputStatistics& input) {
    MatrixCosts costs{p.name, p.shape.elements(), {}};
    const Tensor w = std::get<Tensor>(load_weight(model_, p));
    const auto schemes = candidates(p.shape[1]);
    MethodOptions tuning = base_.tuning;
    tuning.scale_dtype = base_.scale_dtype;
    double anchor_kl = 0, anchor_error = 0;
    std::vector<double> errors;
    for (const QuantScheme& s : schemes) {
      const WeightTask task{w, s, tuning, p.name, &input, exec_.threads};
      const WeightResult made = method("imatrix").quantize(task);
      SchemeCost cost{s, planned_bytes(s, p.shape[0], p.shape[1], base_.scale_dtype), 0, false};
      if (is_anchor(s, schemes)) {
        cost.kl = kl_of(p.name, made.weight);
        cost.measured = true;
        anchor_kl = cost.kl;
        anchor_error = made.error;
      } else {
        cost.kl = anchor_error > 0 ? anchor_kl * made.error / anchor_error : anchor_kl;
      }
      costs.costs.push_back(std::move(cost));
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

// Sizes of everything that is not chosen here, and how many weights bits_per_weight is over.
struct Rest {
  int64_t candidate_bytes = 0, other_bytes = 0, weights = 0;
};

Rest rest_of(const std::vector<ParameterPlan>& plans, const std::vector<MatrixCosts>& matrices,
             DType scale_dtype) {
  Rest out;
  for (const ParameterPlan& p : plans) {
    const bool chosen = std::any_of(matrices.begin(), matrices.end(),
                                    [&](const MatrixCosts& m) { return m.name == p.spec.name; });
    if (p.candidate) out.weights += p.spec.shape.elements();
    if (chosen) continue;
    const int64_t bytes =
        p.scheme ? planned_bytes(*p.scheme, p.spec.shape[0], p.spec.shape[1], scale_dtype)
                 : p.spec.shape.elements() * size_of(p.dtype);
    (p.candidate ? out.candidate_bytes : out.other_bytes) += bytes;
  }
  return out;
}

class Chooser {
 public:
  Chooser(const std::vector<MatrixCosts>& matrices, const Rest& rest) : rest_(rest) {
    for (const MatrixCosts& m : matrices) {
      items_.emplace_back();
      for (const SchemeCost& c : m.costs) items_.back().push_back({c.bytes, c.kl});
    }
  }
  AutoChoice within(int64_t bytes) const {
    const KnapsackResult r = solve_knapsack(items_, bytes);
    return {r.chosen, bits(r.size), r.cost, r.lower_bound};
  }
  int64_t bytes_for(double bits) const {
    return static_cast<int64_t>(bits * static_cast<double>(rest_.weights) / 8) -
           rest_.candidate_bytes;
  }
  double bits(int64_t bytes) const {
    return 8.0 * static_cast<double>(bytes + rest_.candidate_bytes) /
           static_cast<double>(rest_.weights);
  }
  int64_t extreme(bool largest) const {
    int64_t sum = 0;
    for (const auto& options : items_) {
      int64_t best = options[0].size;
      for (const KnapsackOption& o : options)
        best = largest ? std::max(best, o.size) : std::min(best, o.size);
      sum += best;
    }
    return sum;
  }
  // The smallest size whose prediction is at most `kl`.
  int64_t size_for(double kl) const {
    int64_t low = extreme(false), high = extreme(true);
    while (high - low > std::max<int64_t>(1, high / 2000)) {
      const int64_t middle = low + (high - low) / 2;
      (within(middle).predicted_kl <= kl ? high : low) = middle;
    }
    return high;
  }

 private:
  const Rest rest_;
  std::vector<std::vector<KnapsackOption>> items_;
};

QuantizeOptions options_for(const QuantizeOptions& base, const std::vector<MatrixCosts>& matrices,
                            const AutoChoice& choice) {
  QuantizeOptions out = base;
  for (size_t i = 0; i < matrices.size(); ++i)
    out.set.push_back({matrices[i].name, matrices[i].costs[choice.chosen[i]].scheme});
  return out;
}

Divergence proof(const ModelFolder& original, const ModelFolder& made, const CalibrationText& text,
                 const Exec& exec) {
  const size_t count = std::min(kProofSamples, std::max<size_t>(1, text.samples.size() / 4));
  const auto sequences =
      all_scored({text.samples.end() - static_cast<std::ptrdiff_t>(count), text.samples.end()});
  const Decoder a = load_decoder(made), b = load_decoder(original);
  return compare_models(logits_of(a), logits_of(b), sequences, exec, "verify").divergence;
}

Error too_small(const std::string& asked, const std::string& least) {
  return invalid_argument(
      fmt::format("{} cannot be reached: the least is {} (kept tensors count)", asked, least));
}

}  // namespace

AutoResult auto_quantize(const std::string& in, const std::string& out, const BitBudget& budget,
                         const QuantizeOptions& base, const Exec& exec) {
  const ModelFolder model = open_model(in);
  AutoResult result;
  std::vector<std::string> warnings;
  const auto plans = plan_quantization(model, base, warnings);
  // The last samples prove; nothing is chosen by them.
  const CalibrationText all = calibration_text(model, base.calibration, exec);
  CalibrationText seen = all;
  seen.samples.resize(all.samples.size() - std::min(kProofSamples, all.samples.size() / 4));
  result.matrices = Measuring(model, base, plans, seen, exec).run();
  const Rest rest = rest_of(plans, result.matrices, base.scale_dtype);
  const Chooser chooser(result.matrices, rest);
  const int64_t least = chooser.extreme(false), most = chooser.extreme(true);
  for (size_t i = 0; i < kFrontier; ++i)
    result.frontier.push_back(chooser.within(least + (most - least) * static_cast<int64_t>(i) /
                                                         static_cast<int64_t>(kFrontier - 1)));
  int64_t bytes = 0;
  if (budget.bits) bytes = chooser.bytes_for(*budget.bits);
  if (budget.max_size) bytes = *budget.max_size - rest.candidate_bytes - rest.other_bytes;
  if (budget.max_kl) bytes = chooser.size_for(*budget.max_kl);
  if (bytes < least)
    throw too_small(budget.bits ? fmt::format("--bits {}", *budget.bits)
                                : fmt::format("--max-size {}", *budget.max_size),
                    budget.bits
                        ? fmt::format("{:.2f}", chooser.bits(least))
                        : fmt::format("{} bytes", least + rest.candidate_bytes + rest.other_bytes));
  double aim = budget.max_kl.value_or(0);
  for (int attempt = 0; budget.max_kl; ++attempt) {
    result.choice = chooser.within(chooser.size_for(aim));
    const ModelFolder made =
        quantize_in_memory(model, options_for(base, result.matrices, result.choice), exec);
    const double kl = proof(model, made, all, exec).kl_mean, wanted = kMargin * *budget.max_kl;
    if ((kl <= wanted && kl > 0.9 * wanted) || (kl <= wanted && attempt >= kMostTries / 2)) break;
    if (attempt == kMostTries)
      throw invalid_argument(
          fmt::format("--max-kl {} cannot be met: {:.3g} is the least that was "
                      "reached",
                      *budget.max_kl, kl));
    aim *= 0.95 * wanted / std::max(kl, 1e-12);
  }
  if (!budget.max_kl) result.choice = chooser.within(std::min(bytes, most));
  result.options = options_for(base, result.matrices, result.choice);
  result.written = quantize_model(in, out, result.options, exec);
  const Divergence d = proof(model, open_model(out), all, exec);
  result.measured_kl = d.kl_mean;
  result.measured_kl_standard_error = d.kl_standard_error;
  return result;
}

}  // namespace nibble
