#include <algorithm>
#include <cmath>

#include "nibble/report/plot_frame.h"
#include "nibble/report/plots.h"
#include "nibble/report/text.h"

namespace nibble {
namespace {

constexpr double kLabel = 24, kBar = 18, kBetween = 3, kAfter = 12;

double largest(const BarChart& chart) {
  double most = 0;
  for (const BarRow& row : chart.rows) {
    for (const Bar& bar : row.bars) {
      for (const double v : {bar.value, bar.high}) {
        if (std::isfinite(v)) most = std::max(most, v);
      }
    }
  }
  return most;
}

void draw_whisker(Svg& svg, const Scale& x, double y, const Bar& bar) {
  if (!(bar.high > 0) || !std::isfinite(bar.high) || !std::isfinite(bar.low)) return;
  const double low = x.place(bar.low), high = x.place(bar.high), middle = y + kBar / 2;
  svg.line(low, middle, high, middle, "whisker");
  for (const double end : {low, high}) svg.line(end, middle - 4, end, middle + 4, "whisker");
}

/// A bar on its track; one that is longer than the scale has a break before its end.
void draw_bar(Svg& svg, const Scale& x, double y, const Bar& bar) {
  const double width = std::max(x.place(bar.value), 2.0);
  svg.rect(0, y, x.to, kBar, "track", "", 3);
  svg.rect(0, y, width, kBar, colour_class(bar.colour, bar.pale ? "pale" : "fill"), bar.tip, 3);
  draw_whisker(svg, x, y, bar);
  if (std::isfinite(bar.value) && bar.value > x.high * 1.0001) {
    const double at = x.to - 22;
    svg.path({{at, y + kBar}, {at + 6, y}, {at + 11, y}, {at + 5, y + kBar}}, "gap", true);
  }
}

}  // namespace

std::string bar_chart(const BarChart& chart) {
  if (chart.rows.empty()) return nothing_to_show("Nothing was measured here.");
  double height = 0;
  for (const BarRow& row : chart.rows) {
    height += kLabel + static_cast<double>(row.bars.size()) * (kBar + kBetween) + kAfter;
  }
  Svg svg(kPlotWidth, height - kAfter, chart.description);
  size_t longest = 0;
  for (const BarRow& row : chart.rows) {
    for (const Bar& bar : row.bars) {
      longest = std::max(longest, static_cast<size_t>(display_width(display_text(bar.text))));
    }
  }
  const double room =
      std::min(kPlotWidth * 0.6, static_cast<double>(longest) * kPlotCharacter + 10);
  const double whole = largest(chart);
  const double most = chart.limit > 0 ? std::min(whole, chart.limit) : whole;
  const Scale x{0, most > 0 ? most : 1, 0, kPlotWidth - room, false};
  double y = 0;
  for (const BarRow& row : chart.rows) {
    svg.text(0, y + 16, row.label, Anchor::start, "label");
    y += kLabel;
    for (const Bar& bar : row.bars) {
      draw_bar(svg, x, y, bar);
      svg.text(kPlotWidth, y + 14, bar.text, Anchor::end, "label");
      y += kBar + kBetween;
    }
    y += kAfter;
  }
  return svg.finish();
}

}  // namespace nibble
