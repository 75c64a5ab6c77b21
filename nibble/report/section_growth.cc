// Do differences grow with the length of a text? Agreement by position, both ways of looking at it.
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

struct Share {
  double agreeing = 0, tokens = 0;
  double value() const { return tokens > 0 ? agreeing / tokens : 0; }
  double variance() const { return tokens > 0 ? value() * (1 - value()) / tokens : 0; }
};

// Agreement over the first or the last third of the positions.
Share third(const Divergence& d, bool last) {
  const size_t n = d.by_position.size(), part = std::max<size_t>(n / 3, 1);
  Share out;
  for (size_t i = 0; i < part && i < n; ++i) {
    const PositionDivergence& p = d.by_position[last ? n - 1 - i : i];
    out.agreeing += p.top1_agreement * static_cast<double>(p.tokens);
    out.tokens += static_cast<double>(p.tokens);
  }
  return out;
}

// Neighbouring stretches as one, so that chance does not hide the course.
std::vector<PositionDivergence> smoothed(const std::vector<PositionDivergence>& all) {
  constexpr size_t kPoints = 8;
  const size_t length = std::max<size_t>((all.size() + kPoints - 1) / kPoints, 1);
  std::vector<PositionDivergence> out;
  for (size_t i = 0; i < all.size(); ++i) {
    if (i % length == 0) out.push_back({all[i].first, all[i].last, 0, 0, 0});
    PositionDivergence& p = out.back();
    p.last = all[i].last;
    p.top1_agreement += all[i].top1_agreement * static_cast<double>(all[i].tokens);
    p.tokens += all[i].tokens;
  }
  for (PositionDivergence& p : out) p.top1_agreement /= static_cast<double>(p.tokens);
  return out;
}

LinePlot forced(const Models& models) {
  LinePlot plot{
      "Share of positions where model and baseline rank the same token first, by position",
      "position in the text",
      "same first choice, given the same text",
      true,
      {}};
  for (size_t i = 1; i < models.size(); ++i) {
    LineSeries line{models[i].name, colour_of(models[i]), {}};
    for (const PositionDivergence& p : smoothed(models[i].divergence.by_position)) {
      line.points.emplace_back(static_cast<double>(p.first + p.last) / 2, p.top1_agreement);
    }
    plot.series.push_back(std::move(line));
  }
  return plot;
}

LinePlot free_running(const Models& models) {
  LinePlot plot{"Share of generated texts that are still the baseline's, by their length",
                "tokens written",
                "texts that are still the same",
                true,
                {}};
  for (size_t i = 1; i < models.size(); ++i) {
    const auto& shares = models[i].text.prefix_agreement;
    LineSeries line{models[i].name, colour_of(models[i]), {}};
    if (!shares.empty()) line.points.emplace_back(0, 1);
    for (size_t k = 0; k < shares.size(); ++k)
      line.points.emplace_back(static_cast<double>(k + 1), shares[k]);
    plot.series.push_back(std::move(line));
  }
  return plot;
}

std::string forced_words(const Models& models) {
  std::string out;
  for (size_t i = 1; i < models.size(); ++i) {
    const Share a = third(models[i].divergence, false), b = third(models[i].divergence, true);
    if (a.tokens <= 0 || b.tokens <= 0) continue;
    const double change = b.value() - a.value(), error = std::sqrt(a.variance() + b.variance());
    const std::string_view verdict = std::abs(change) <= 2 * error ? "no measurable change"
                                     : change < 0                  ? "less with length"
                                                                   : "more with length";
    out += fmt::format("<li><strong>{}</strong>: {} in the first third, {} in the last: {}</li>\n",
                       escape_html(models[i].name), format_percent(a.value(), 1),
                       format_percent(b.value(), 1), verdict);
  }
  return "<ul class=\"verdicts\">\n" + out + "</ul>\n";
}

std::string free_words(const Models& models) {
  std::string out;
  for (size_t i = 1; i < models.size(); ++i) {
    const auto& shares = models[i].text.prefix_agreement;
    if (shares.empty()) continue;
    const size_t early = std::min<size_t>(8, shares.size());
    out += fmt::format("<li><strong>{}</strong>: {} still the same after {}, {} after {}</li>\n",
                       escape_html(models[i].name), format_percent(shares[early - 1], 0),
                       counted(static_cast<int64_t>(early), "token"),
                       format_percent(shares.back(), 0), shares.size());
  }
  return "<ul class=\"verdicts\">\n" + out + "</ul>\n";
}

}  // namespace

std::string growth(const Models& models) {
  const bool any = std::any_of(models.begin(), models.end(), [](const Measurement& m) {
    return !m.text.prefix_agreement.empty();
  });
  if (!any || models.size() < 2) return "";
  return fmt::format(
      "<div class=\"grid\">\n<div><figure><h3>Reading the same text</h3>{}<figcaption>Every model "
      "sees the true tokens before each position, so errors cannot add up.</figcaption></figure>\n"
      "<div class=\"text\">{}</div></div>\n<div><figure><h3>Writing by itself</h3>{}<figcaption>{} "
      "{}, the likeliest token each time. One token that differs changes everything behind it, "
      "so these lines can only fall.</figcaption></figure>\n<div class=\"text\">{}</div></div>\n"
      "</div>\n",
      line_plot(forced(models)), forced_words(models), line_plot(free_running(models)),
      format_count(models.front().text.continuations),
      noun(models.front().text.continuations, "text"), free_words(models));
}

}  // namespace nibble
