#include "nibble/report/verdict.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "nibble/quant/number.h"
#include "nibble/report/numbers.h"
#include "nibble/report/speed_text.h"

namespace nibble {
namespace {

struct CostRow {
  std::string_view word, css;
};
constexpr std::array<CostRow, 5> kCosts = {{{"unknown", "unknown"},
                                            {"none", "good"},
                                            {"small", "fair"},
                                            {"noticeable", "poor"},
                                            {"heavy", "bad"}}};
const CostRow& row_of(Cost cost) { return kCosts[static_cast<size_t>(cost)]; }

/// The smallest file among the models (the baseline left out) whose cost is at most `worst`.
const Measurement* smallest_up_to(const std::vector<Measurement>& models, Cost worst) {
  const Measurement* best = nullptr;
  for (size_t i = 1; i < models.size(); ++i) {
    const Cost cost = judge_cost(models[i]);
    if (cost == Cost::unknown || cost > worst) continue;
    if (best == nullptr || models[i].file_bytes < best->file_bytes) best = &models[i];
  }
  return best;
}

const Measurement* fastest_of(const std::vector<Measurement>& models, int bits) {
  const Measurement* best = nullptr;
  double most = 0;
  for (size_t i = 1; i < models.size(); ++i) {
    const Measurement& m = models[i];
    // Models are timed one after another, the baseline beside each: only ratios compare.
    const double times = speedup_of(m).median;
    if (!(times > most) || (bits != 0 && code_bits(m.scheme) != bits)) continue;
    most = times;
    best = &m;
  }
  return best;
}

}  // namespace

Cost judge_cost(const Measurement& m) {
  const double change = m.loss_difference, error = m.loss_difference_standard_error;
  if (m.tokens <= 0 || !std::isfinite(m.loss) || !std::isfinite(change) || !std::isfinite(error)) {
    return Cost::unknown;
  }
  if (change <= 2 * error) return Cost::none;
  const double rise = std::expm1(change);
  return rise < 0.01 ? Cost::small : rise < 0.05 ? Cost::noticeable : Cost::heavy;
}

std::string_view short_word(Cost cost) { return row_of(cost).word; }
std::string_view css_class(Cost cost) { return row_of(cost).css; }

std::string describe_cost(const Measurement& m) {
  const double rise = std::expm1(m.loss_difference);
  switch (judge_cost(m)) {
    case Cost::unknown:
      return "its loss was not measured";
    case Cost::none:
      return "no measurable loss";
    case Cost::small:
      return fmt::format("a small loss, {} in perplexity", format_percent(rise, 2));
    case Cost::noticeable:
      return fmt::format("a noticeable loss, {} in perplexity", format_percent(rise, 1));
    case Cost::heavy:
      return fmt::format("a heavy loss, {} in perplexity", format_percent(rise, 0));
  }
  return "";
}

std::string verdict(const Measurement& m) {
  switch (judge_cost(m)) {
    case Cost::unknown:
      return "loss not measured";
    case Cost::none:
      return "no measurable loss";
    default:
      break;
  }
  const double rise = std::expm1(m.loss_difference);
  return fmt::format("+{} perplexity, significant", format_percent(rise, rise < 0.01 ? 2
                                                                         : rise < 1  ? 1
                                                                                     : 0));
}

const Measurement* headliner(const std::vector<Measurement>& models) {
  for (const Cost worst : {Cost::none, Cost::small}) {
    if (const Measurement* found = smallest_up_to(models, worst)) return found;
  }
  const Measurement* best = nullptr;
  for (size_t i = 1; i < models.size(); ++i) {
    if (judge_cost(models[i]) == Cost::unknown) continue;
    if (best == nullptr || models[i].loss_difference < best->loss_difference) best = &models[i];
  }
  return best != nullptr ? best : models.size() > 1 ? &models[1] : nullptr;
}

const Measurement* smallest_usable(const std::vector<Measurement>& models) {
  return smallest_up_to(models, Cost::noticeable);
}

const Measurement* fastest_quantized(const std::vector<Measurement>& models) {
  const Measurement* eight = fastest_of(models, 8);
  return eight != nullptr ? eight : fastest_of(models, 0);
}

int code_bits(std::string_view scheme) {
  const NamedNumber* type = find_number(scheme.substr(0, scheme.find(':')));
  return type == nullptr ? 0 : type->traits.bits;
}

int colour_of(const Measurement& m) {
  const int bits = code_bits(m.scheme);
  if (bits == 32) return 0;
  return bits >= 5 && bits <= 8 ? 1 : bits == 4 ? 2 : bits == 3 ? 3 : bits == 2 ? 4 : 5;
}

}  // namespace nibble
