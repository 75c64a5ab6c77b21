// The weights before and after, and what happens when one tensor alone is quantized.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/counted.h"
#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/plots.h"
#include "nibble/report/sections.h"
#include "nibble/report/verdict.h"

namespace nibble {
namespace {

constexpr size_t kShownAtOnce = 3;

/// One scheme: weights above, error below.
std::string histogram_pair(const WeightHistograms& h) {
  Measurement as;
  as.scheme = h.scheme;
  const int colour = colour_of(as);
  HistogramPlot weights;
  weights.description = fmt::format("Weights of {} in f32 and after {}", h.tensor, h.scheme);
  weights.x_title = "weight";
  weights.height = 150;
  weights.layers = {{h.dequantized, colour, false}, {h.original, 0, true}};
  HistogramPlot error;
  error.description = fmt::format("Rounding error of {} under {}", h.tensor, h.scheme);
  error.x_title = "error, in units of the scale";
  error.height = 112;
  error.layers = {{h.error, colour, false}};
  return fmt::format(
      "<div class=\"scheme\"><ul class=\"legend\"><li><span class=\"key thin-key "
      "c0\"></span>f32</li>"
      "<li><span class=\"key tinted c{}\"></span>{}</li></ul>\n{}{}</div>\n",
      colour, escape_html(h.scheme), histogram_plot(weights), histogram_plot(error));
}

/// One figure a tensor, with a pair for each of its schemes.
std::vector<std::string> histogram_figures(const std::vector<WeightHistograms>& histograms) {
  std::vector<std::string> out;
  for (size_t i = 0; i < histograms.size();) {
    const std::string& tensor = histograms[i].tensor;
    std::string pairs;
    for (; i < histograms.size() && histograms[i].tensor == tensor; ++i) {
      pairs += histogram_pair(histograms[i]);
    }
    out.push_back(fmt::format("<figure><h3>{}</h3>{}</figure>\n", escape_name(tensor), pairs));
  }
  return out;
}

std::string shared_scheme(const std::vector<Sensitivity>& all) {
  for (const Sensitivity& s : all) {
    if (s.scheme != all.front().scheme) return "";
  }
  return all.front().scheme;
}

double sort_key(const Sensitivity& s) { return std::isfinite(s.kl_mean) ? s.kl_mean : -1; }

BarChart sensitivity_chart(const std::vector<Sensitivity>& sorted, bool one_scheme) {
  BarChart chart;
  chart.description = "Divergence from the baseline when one tensor alone is quantized";
  for (const Sensitivity& s : sorted) {
    Measurement as;
    as.scheme = s.scheme;
    const std::string label = one_scheme ? s.tensor : s.tensor + " (" + s.scheme + ")";
    const std::string tip =
        fmt::format("{}: KL {} nats, loss {}", label, format_significant(s.kl_mean, 3),
                    format_signed(s.loss_difference, 5));
    chart.rows.push_back(
        {label, {{s.kl_mean, format_significant(s.kl_mean), tip, colour_of(as), false}}});
  }
  return chart;
}

}  // namespace

std::string weight_histograms(const std::vector<WeightHistograms>& histograms) {
  if (histograms.empty()) return "";
  const std::vector<std::string> figures = histogram_figures(histograms);
  std::string shown, more;
  for (size_t i = 0; i < figures.size(); ++i) (i < kShownAtOnce ? shown : more) += figures[i];
  std::string out =
      "<p class=\"soft\">Above, how often each weight occurs: the line is the trained model, the "
      "filled shape what quantizing leaves of it. Below, how far each weight moved: rounding moves "
      "it by at most half a step of the scale, so a flat block from &minus;0.5 to 0.5 is what one "
      "expects, with a spike at 0 for the weights that set a scale and are exact. Spikes are cut "
      "at "
      "the top.</p>\n<div class=\"grid three\">" +
      shown + "</div>\n";
  if (!more.empty()) {
    out += fmt::format(
        "<details class=\"more\"><summary>{}</summary><div class=\"grid "
        "three\">{}</div></details>\n",
        counted(std::ssize(figures) - static_cast<int64_t>(kShownAtOnce), "more tensor"), more);
  }
  return out;
}

std::string sensitivity(const std::vector<Sensitivity>& all) {
  if (all.empty()) return "";
  std::vector<Sensitivity> sorted = all;
  std::stable_sort(sorted.begin(), sorted.end(), [](const Sensitivity& a, const Sensitivity& b) {
    return sort_key(a) > sort_key(b);
  });
  const std::string scheme = shared_scheme(sorted);
  double sum = 0;
  for (const Sensitivity& s : sorted) sum += std::max(sort_key(s), 0.0);
  const Sensitivity& most = sorted.front();
  std::string words =
      "<p>Each tensor quantized alone, the others kept as trained: which of them needs its "
      "bits?</p>\n";
  if (sum > 0) {
    words += fmt::format(
        "<p><strong>{}</strong> is the most sensitive: it alone makes {} of the sum of all "
        "these divergences and changes the loss by {} nats. <strong>{}</strong> minds least.</p>\n",
        escape_html(most.tensor), format_percent(most.kl_mean / sum, 0),
        format_signed(most.loss_difference, 4), escape_html(sorted.back().tensor));
  }
  words +=
      "<p class=\"soft\">Tensors at the top are the ones to keep wider where bits are to be saved "
      "elsewhere.</p>\n";
  return fmt::format(
      "<div class=\"grid\"><figure><h3>KL divergence from the baseline, nats{}</h3>{}</figure>\n"
      "<div class=\"text\">{}</div></div>\n",
      scheme.empty() ? "" : ", " + escape_html(scheme),
      bar_chart(sensitivity_chart(sorted, !scheme.empty())), words);
}

}  // namespace nibble
