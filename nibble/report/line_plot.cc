#include <algorithm>
#include <array>
#include <cmath>

#include "nibble/report/plot_frame.h"
#include "nibble/report/plots.h"
#include "nibble/report/text.h"

namespace nibble {
namespace {

bool drawable_line(const std::pair<double, double>& p) {
  return std::isfinite(p.first) && std::isfinite(p.second);
}

std::vector<LineSeries> drawn(const std::vector<LineSeries>& given) {
  std::vector<LineSeries> out;
  for (const LineSeries& s : given) {
    LineSeries kept = s;
    std::erase_if(kept.points, [](const auto& p) { return !drawable_line(p); });
    if (!kept.points.empty()) out.push_back(std::move(kept));
  }
  return out;
}

// Room for the longest name to the right of the lines.
double names_width(const std::vector<LineSeries>& all) {
  int64_t widest = 0;
  for (const LineSeries& s : all) widest = std::max(widest, display_width(display_text(s.label)));
  return std::min(static_cast<double>(widest) * 7.2 + 10, kPlotWidth / 3);
}

// Where each name stands: beside the end of its line, moved so that none covers another.
std::vector<double> name_places(const Frame& f, const std::vector<LineSeries>& all) {
  std::vector<size_t> order(all.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  const auto end_of = [&](size_t i) { return f.y.place(all[i].points.back().second); };
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return end_of(a) < end_of(b); });
  constexpr double kLine = 15;
  std::vector<double> out(all.size());
  double next = f.y.to;
  for (const size_t i : order) {
    out[i] = std::max(end_of(i), next);
    next = out[i] + kLine;
  }
  double limit = f.y.from;
  for (auto i = order.rbegin(); i != order.rend(); ++i) {
    out[*i] = std::min(out[*i], limit);
    limit = out[*i] - kLine;
  }
  return out;
}

}  // namespace

std::string line_plot(const LinePlot& plot) {
  const std::vector<LineSeries> all = drawn(plot.series);
  if (all.empty()) return nothing_to_show("There are no lines to draw.");
  std::vector<double> xs, ys;
  for (const LineSeries& s : all) {
    for (const auto& [x, y] : s.points) {
      xs.push_back(x);
      ys.push_back(y);
    }
  }
  Svg svg(kPlotWidth, 340, plot.description);
  const auto [low, high] = std::minmax_element(xs.begin(), xs.end());
  Scale x{*low, *low == *high ? *low + 1 : *high, 56, kPlotWidth - names_width(all), false};
  Scale y = scale_over(ys, 290, 30, false, false);
  if (plot.share) y.high = std::min(y.high, 1.0), y.low = std::max(y.low, 0.0);
  if (plot.share && y.low >= y.high) y.low = y.high - 0.01;
  const Frame f{x, y};
  draw_axes(svg, f, plot.x_title, plot.y_title);
  constexpr std::array<const char*, 3> kStrokes = {"stroke", "stroke dashed", "stroke dotted"};
  std::array<size_t, 6> used{};
  const std::vector<double> names = name_places(f, all);
  for (size_t i = 0; i < all.size(); ++i) {
    const LineSeries& s = all[i];
    Svg::Points points;
    for (const auto& [px, py] : s.points) points.emplace_back(f.x.place(px), f.y.place(py));
    // One point is a short line, so that it shows.
    if (points.size() == 1) points.emplace_back(points[0].first + 4, points[0].second);
    const size_t stroke = used[static_cast<size_t>(std::clamp(s.colour, 0, 5))]++;
    svg.path(points, colour_class(s.colour, kStrokes[std::min<size_t>(stroke, 2)]));
    svg.line(points.back().first + 2, points.back().second, f.x.to + 7, names[i],
             colour_class(s.colour, "thin"));
    svg.text(f.x.to + 10, names[i] + 4, s.label, Anchor::start, "label halo");
  }
  return svg.finish();
}

}  // namespace nibble
