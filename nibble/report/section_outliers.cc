// Outliers of weights and activations, and what helps against them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/plots.h"
#include "nibble/report/sections.h"

namespace nibble {
namespace {

constexpr size_t kBars = 10, kRemediesShown = 5;
constexpr int kWeightColour = 1, kActivationColour = 3;

void add_rows(HtmlTable& table, const std::vector<OutlierStats>& all, std::string_view kind) {
  for (const OutlierStats& s : all) {
    const Moments& m = s.moments;
    const int64_t channels =
        std::count_if(s.by_channel.begin(), s.by_channel.end(), [](int64_t c) { return c > 0; });
    const std::string count =
        format_count(m.count) + (m.not_finite > 0
                                     ? fmt::format(" <span class=\"bad\">+ {} not finite</span>",
                                                   format_count(m.not_finite))
                                     : "");
    table.row(
        {{escape_name(s.tensor), ""},
         {std::string(kind), "left"},
         {count, ""},
         {format_significant(m.standard_deviation, 3), ""},
         {format_fixed(ratio(m.absmax, m.standard_deviation), 1) + " σ", ""},
         {format_fixed(m.kurtosis, 1), ""},
         {fmt::format("{} <span class=\"se\">({})</span>", format_count(s.outliers),
                      format_percent(s.share, 3)),
          ""},
         {fmt::format("{} <span class=\"se\">of {}</span>", channels, s.by_channel.size()), ""},
         {s.worst_channel_ratio > 0 ? format_fixed(s.worst_channel_ratio, 1) + "×" : "n/a", ""}});
  }
}

std::string table_of(const DemoResult& r) {
  const double k =
      r.weight_outliers.empty() ? r.activation_outliers.front().k : r.weight_outliers.front().k;
  HtmlTable table(
      fmt::format("Values further than {} standard deviations (σ) from their tensor's mean.",
                  format_fixed(k, k == std::floor(k) ? 0 : 1)));
  table.column("tensor")
      .column("of", "", "left")
      .column("values")
      .column("σ")
      .column("largest")
      .column("kurtosis", "3 for a bell curve; the more, the heavier the tails")
      .column("outliers")
      .column("channels hit", "channels with at least one outlier")
      .column("worst channel", "largest channel absmax over the median channel's");
  add_rows(table, r.weight_outliers, "weights");
  add_rows(table, r.activation_outliers, "activations");
  return table.finish();
}

std::string worst_channels(const DemoResult& r) {
  struct Entry {
    const OutlierStats* stats;
    int colour;
  };
  std::vector<Entry> entries;
  for (const auto& s : r.weight_outliers) entries.push_back({&s, kWeightColour});
  for (const auto& s : r.activation_outliers) entries.push_back({&s, kActivationColour});
  const auto key = [](const Entry& e) {
    return std::isfinite(e.stats->worst_channel_ratio) ? e.stats->worst_channel_ratio : -1;
  };
  std::stable_sort(entries.begin(), entries.end(),
                   [&](const Entry& a, const Entry& b) { return key(a) > key(b); });
  BarChart chart;
  chart.description = "Largest channel over the median channel, for each tensor";
  for (size_t i = 0; i < std::min(entries.size(), kBars); ++i) {
    const OutlierStats& s = *entries[i].stats;
    const std::string times = format_fixed(s.worst_channel_ratio, 1) + "×";
    chart.rows.push_back({(entries[i].colour == kActivationColour ? "input of " : "") + s.tensor,
                          {{s.worst_channel_ratio, times,
                            fmt::format("{}: channel {} is largest", s.tensor, s.worst_channel),
                            entries[i].colour, false}}});
  }
  // One channel far above all others is drawn broken, so that the others can still be compared.
  if (entries.size() > 1 && key(entries[0]) > 5 * key(entries[1]))
    chart.limit = 2 * key(entries[1]);
  return fmt::format(
      "<figure><h3>Worst channel against the median one</h3><ul class=\"legend\">"
      "<li><span class=\"key c{}\"></span>weights</li><li><span class=\"key "
      "c{}\"></span>activations</li></ul>\n{}"
      "<figcaption>A scale shared by all channels is set by the worst; the others use 1 / this of "
      "its "
      "range.{}</figcaption></figure>\n",
      kWeightColour, kActivationColour, bar_chart(chart),
      entries.size() > kBars ? fmt::format(" The {} most extreme are shown.", kBars) : "");
}

/// What is left of the error of one scale, at best.
double best_share(const RemedyErrors& r) {
  const double share = std::min(r.clipped, r.per_channel) / r.per_tensor;
  return std::isfinite(share) && r.per_tensor > 0 ? share : 1e9;
}

BarRow remedy_row(const RemedyErrors& r) {
  const auto bar = [&](std::string_view name, double value, int colour) {
    const double share = r.per_tensor > 0 ? value / r.per_tensor : std::nan("");
    return Bar{
        share, fmt::format("{} {}", name, format_percent(share, 0)),
        fmt::format("{}, {}: mean squared error {}", r.tensor, name, format_significant(value, 3)),
        colour, false};
  };
  return {fmt::format("{} ({} bits)", r.tensor, r.bits),
          {bar("one scale", r.per_tensor, 0), bar("clipped", r.clipped, 3),
           bar("per channel", r.per_channel, 1)}};
}

std::string remedy_table(const std::vector<RemedyErrors>& all) {
  HtmlTable table("Mean squared error of rounding after each remedy.");
  table.column("tensor")
      .column("bits")
      .column("one scale")
      .column("clipped")
      .column("clipped at")
      .column("per channel");
  for (const RemedyErrors& r : all) {
    table.row({{escape_name(r.tensor), ""},
               {std::to_string(r.bits), ""},
               {format_significant(r.per_tensor, 3), ""},
               {format_significant(r.clipped, 3), ""},
               {"± " + format_significant(r.clip_threshold, 3), ""},
               {format_significant(r.per_channel, 3), ""}});
  }
  return fmt::format(
      "<details class=\"more\"><summary>The remedies for all tensors</summary>{}</details>\n",
      table.finish());
}

std::string remedies(const std::vector<RemedyErrors>& all) {
  if (all.empty()) return "";
  std::vector<RemedyErrors> sorted = all;
  std::stable_sort(sorted.begin(), sorted.end(), [](const RemedyErrors& a, const RemedyErrors& b) {
    return best_share(a) < best_share(b);
  });
  if (sorted.size() > kRemediesShown) sorted.resize(kRemediesShown);
  BarChart chart;
  chart.description =
      "Squared rounding error after each remedy, in percent of one scale for the tensor";
  chart.limit = 2;
  for (const RemedyErrors& r : sorted) chart.rows.push_back(remedy_row(r));
  return fmt::format(
      "<figure><h3>What helps: squared error, one scale being 100%</h3>\n{}<figcaption>Clipping "
      "cuts "
      "values beyond the outlier limit before the scale is chosen, and pays for what it cuts: it "
      "can win where bits are few and lose where they are many. A scale a channel keeps one "
      "channel's outliers "
      "from "
      "spoiling the others.{}</figcaption></figure>\n",
      bar_chart(chart),
      all.size() > kRemediesShown ? fmt::format(" The {} that gain most are shown.", kRemediesShown)
                                  : "");
}

}  // namespace

std::string outliers(const DemoResult& r) {
  if (r.weight_outliers.empty() && r.activation_outliers.empty()) return "";
  return "<p class=\"soft\">The largest value sets the scale, and the scale sets the rounding "
         "error of all "
         "others. A few outliers, or one loud channel, can cost every other value its "
         "precision.</p>\n" +
         table_of(r) + "<div class=\"grid\">" + worst_channels(r) + remedies(r.remedies) +
         "</div>\n" + (r.remedies.size() > kRemediesShown ? remedy_table(r.remedies) : "");
}

}  // namespace nibble
