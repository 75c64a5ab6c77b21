// The curve of training, and where it ended.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/counted.h"
#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/plots.h"
#include "nibble/report/sections.h"

namespace nibble {
namespace {

/// Mean of the last twentieth of the curve: one batch alone is too noisy to compare with.
double final_training_loss(const std::vector<float>& losses) {
  const size_t count = std::max<size_t>(1, losses.size() / 20);
  if (losses.empty()) return std::nan("");
  double sum = 0;
  for (size_t i = losses.size() - count; i < losses.size(); ++i) sum += losses[i];
  return sum / static_cast<double>(count);
}

std::string gap_words(double train, double heldout) {
  const double gap = heldout - train;
  if (!std::isfinite(gap) || !(heldout > 0)) return "";
  const std::string numbers =
      fmt::format("At the end the loss is {} on the data it learns from and {} on text held out",
                  format_fixed(train, 3), format_fixed(heldout, 3));
  if (gap < 0.02) return "<p>" + numbers + ": it has learned rules, not the list.</p>\n";
  return fmt::format("<p>{}: {} nats are memory of what it has seen.</p>\n", numbers,
                     format_fixed(gap, 3));
}

std::string bigram_words(const DemoResult& r) {
  if (!(r.bigram_loss > 0) || !std::isfinite(r.bigram_loss)) return "";
  const std::string_view outcome = r.heldout_loss < r.bigram_loss
                                       ? "so the model uses more than the last character"
                                       : "so the model has not yet learned more than that";
  return fmt::format(
      "<p>Counting which character follows which, and nothing else, reaches {} on the same text, "
      "{}.</p>\n",
      format_fixed(r.bigram_loss, 3), outcome);
}

}  // namespace

std::string training(const DemoResult& r) {
  if (r.losses.empty()) return "";
  CurvePlot plot;
  plot.description = "Training loss at each step, with the loss on held-out text";
  plot.x_title = "step";
  plot.y_title = "loss, nats a token";
  plot.values = r.losses;
  if (r.heldout_loss > 0) {
    plot.levels.push_back({r.heldout_loss, "held out " + format_fixed(r.heldout_loss, 3), 4});
  }
  if (r.bigram_loss > 0) {
    plot.levels.push_back({r.bigram_loss, "bigram counts " + format_fixed(r.bigram_loss, 3), 0});
  }
  const std::string words =
      fmt::format("<p>{}: {} {} of {} {} in {}, {} tokens a second.</p>\n", escape_html(r.model),
                  format_count(r.steps), noun(r.steps, "step"), format_count(r.batch),
                  noun(r.batch, "sequence"), format_seconds(r.train_seconds),
                  format_rate(r.train_tokens_per_second));
  return fmt::format(
      "<div class=\"grid\"><figure>{}<figcaption>The band is the range over a few steps, the line "
      "their running mean.</figcaption></figure>\n<div class=\"text\">{}{}{}</div></div>\n",
      curve_plot(plot), words, gap_words(final_training_loss(r.losses), r.heldout_loss),
      bigram_words(r));
}

}  // namespace nibble
