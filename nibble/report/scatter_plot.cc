#include <algorithm>
#include <cmath>
#include <numeric>

#include "nibble/report/label_placer.h"
#include "nibble/report/plot_frame.h"
#include "nibble/report/plots.h"
#include "nibble/report/text.h"

namespace nibble {
namespace {

bool drawable_scatter(const ScatterPoint& p, bool log_y) {
  return std::isfinite(p.x) && std::isfinite(p.y) && (!log_y || p.y > 0);
}

std::vector<PlacedLabel> place_labels(const Frame& f, const std::vector<ScatterPoint>& points) {
  constexpr double kReach = 9;
  LabelPlacer placer({f.x.from, 0, kPlotWidth - f.x.from, f.y.from});
  for (const ScatterPoint& p : points) {
    placer.keep_clear({f.x.place(p.x) - kReach, f.y.place(p.y) - kReach, 2 * kReach, 2 * kReach});
  }
  // The longest names have the fewest places to go, so they choose first.
  std::vector<size_t> order(points.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return display_width(points[a].label) > display_width(points[b].label);
  });
  std::vector<PlacedLabel> out(points.size());
  for (const size_t i : order) {
    const ScatterPoint& p = points[i];
    out[i] = placer.place(f.x.place(p.x), f.y.place(p.y), display_text(p.label));
  }
  return out;
}

void draw_whiskers(Svg& svg, const Frame& f, const ScatterPoint& p) {
  if (!(p.y_error > 0) || !std::isfinite(p.y_error)) return;
  const double x = f.x.place(p.x);
  svg.line(x, f.y.place(std::max(p.y - p.y_error, f.y.low)), x, f.y.place(p.y + p.y_error),
           colour_class(p.colour, "thin"));
}

void draw_points(Svg& svg, const Frame& f, const std::vector<ScatterPoint>& points) {
  const std::vector<PlacedLabel> labels = place_labels(f, points);
  for (size_t i = 0; i < points.size(); ++i) {
    const ScatterPoint& p = points[i];
    const double x = f.x.place(p.x), y = f.y.place(p.y);
    if (labels[i].far) svg.line(x, y, labels[i].x, labels[i].y - 5, "leader");
  }
  for (const ScatterPoint& p : points) {
    draw_whiskers(svg, f, p);
    // Shape 0 is the baseline's, which a comparison with it leaves free for the first colour.
    svg.marker(f.x.place(p.x), f.y.place(p.y), 6, std::max(p.colour - 1, 0),
               colour_class(p.colour, "fill ring"), p.tip);
  }
  for (size_t i = 0; i < points.size(); ++i) {
    svg.text(labels[i].x, labels[i].y, points[i].label, labels[i].anchor, "label halo");
  }
}

}  // namespace

std::string scatter_plot(const ScatterPlot& plot) {
  std::vector<ScatterPoint> points;
  std::vector<double> xs, ys;
  for (const ScatterPoint& p : plot.points) {
    if (!drawable_scatter(p, plot.log_y)) continue;
    points.push_back(p);
    xs.push_back(p.x);
    ys.push_back(p.y);
  }
  if (points.empty()) return nothing_to_show("There are no points to draw.");
  Svg svg(kPlotWidth, 340, plot.description);
  const Frame f{scale_over(xs, 68, kPlotWidth - 12, false, false),
                scale_over(ys, 290, 30, plot.log_y, !plot.log_y)};
  draw_axes(svg, f, plot.x_title, plot.y_title);
  draw_points(svg, f, points);
  return svg.finish();
}

}  // namespace nibble
