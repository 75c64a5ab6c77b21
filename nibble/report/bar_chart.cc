#include <algorithm>
#include <cmath>

#include "nibble/report/plot_frame.h"
#include "nibble/report/plots.h"
#include "nibble/report/text.h"

namespace nibble {
namespace {

double largest(const BarChart& chart) {
  double most = 0;
  for (const BarRow& row : chart.rows) {
    for (const Bar& bar : row.bars) {
      if (std::isfinite(bar.value)) most = std::max(most, bar.value);
    }
  }
  return most;
}

}  // namespace

std::string bar_chart(const BarChart& chart) {
  if (chart.rows.empty()) return nothing_to_show("Nothing was measured here.");
  constexpr double kLabel = 24, kBar = 18, kBetween = 3, kAfter = 12;
  double height = 0;
  for (const BarRow& row : chart.rows) {
    height += kLabel + static_cast<double>(row.bars.size()) * (kBar + kBetween) + kAfter;
  }
  Svg svg(chart.width, height - kAfter, chart.description);
  size_t longest = 0;
  for (const BarRow& row : chart.rows) {
    for (const Bar& bar : row.bars) {
      longest = std::max(longest, static_cast<size_t>(display_width(display_text(bar.text))));
    }
  }
  const double room =
      std::min(chart.width * 0.6, static_cast<double>(longest) * kPlotCharacter + 10);
  const double most = largest(chart);
  const Scale x{0, most > 0 ? most : 1, 0, chart.width - room, false};
  double y = 0;
  for (const BarRow& row : chart.rows) {
    svg.text(0, y + 16, row.label, Anchor::start, "label");
    y += kLabel;
    for (const Bar& bar : row.bars) {
      const double width = std::max(x.place(bar.value), 2.0);
      svg.rect(0, y, chart.width - room, kBar, "track", "", 3);
      svg.rect(0, y, width, kBar, colour_class(bar.colour, bar.pale ? "pale" : "fill"), bar.tip, 3);
      svg.text(chart.width, y + 14, bar.text, Anchor::end, "label");
      y += kBar + kBetween;
    }
    y += kAfter;
  }
  return svg.finish();
}

}  // namespace nibble
