#include <algorithm>
#include <cmath>

#include "nibble/report/label_placer.h"
#include "nibble/report/plot_frame.h"
#include "nibble/report/plots.h"
#include "nibble/report/text.h"

namespace nibble {
namespace {

bool drawable_roofline(double v) { return std::isfinite(v) && v > 0; }

// The slope, up to the highest ceiling, and every ceiling from where it leaves the slope.
void draw_roof(Svg& svg, const Frame& f, const RooflinePlot& plot) {
  const auto at = [&](double x, double y) { return std::pair(f.x.place(x), f.y.place(y)); };
  const auto slope = [&](double x) { return x * plot.bytes_per_second; };
  const double begin = std::max(f.x.low, f.y.low / plot.bytes_per_second);
  for (size_t i = 0; i < plot.ceilings.size(); ++i) {
    const Level& c = plot.ceilings[i];
    const double ridge = std::clamp(c.value / plot.bytes_per_second, begin, f.x.high);
    Svg::Points line;
    if (i == 0) line.push_back(at(begin, slope(begin)));
    line.push_back(at(ridge, c.value));
    line.push_back(at(f.x.high, c.value));
    svg.path(line, colour_class(c.colour, i == 0 ? "stroke" : "stroke dashed"));
    svg.text(f.x.to, f.y.place(c.value) - 7, c.label, Anchor::end, "label halo");
  }
}

void draw_names(Svg& svg, const Frame& f, const std::vector<ScatterPoint>& points,
                const std::vector<Level>& ceilings) {
  constexpr double kReach = 8;
  LabelPlacer placer({f.x.from, 0, kPlotWidth - f.x.from, f.y.from});
  for (const Level& c : ceilings) {
    const double width = static_cast<double>(display_width(display_text(c.label))) * kPlotCharacter;
    placer.keep_clear({f.x.to - width, f.y.place(c.value) - kPlotLine, width, kPlotLine + 2});
  }
  for (const ScatterPoint& p : points)
    placer.keep_clear({f.x.place(p.x) - kReach, f.y.place(p.y) - kReach, 2 * kReach, 2 * kReach});
  for (const ScatterPoint& p : points) {
    const double x = f.x.place(p.x), y = f.y.place(p.y);
    const PlacedLabel label = placer.place(x, y, display_text(p.label));
    if (label.far) svg.line(x, y, label.x, label.y - 5, "leader");
    svg.text(label.x, label.y, p.label, label.anchor, "label halo");
  }
}

}  // namespace

std::string roofline_plot(const RooflinePlot& plot) {
  std::vector<ScatterPoint> points;
  std::vector<double> xs, ys;
  for (const ScatterPoint& p : plot.points) {
    if (!drawable_roofline(p.x) || !drawable_roofline(p.y)) continue;
    points.push_back(p);
    xs.push_back(p.x);
    ys.push_back(p.y);
  }
  if (points.empty() || plot.ceilings.empty() || !drawable_roofline(plot.bytes_per_second))
    return nothing_to_show("There are no points to draw.");
  for (const Level& c : plot.ceilings) {
    xs.push_back(c.value / plot.bytes_per_second);
    ys.push_back(c.value);
  }
  Svg svg(kPlotWidth, 340, plot.description);
  const Frame f{scale_over(xs, 68, kPlotWidth - 12, true, false),
                scale_over(ys, 290, 30, true, false)};
  draw_axes(svg, f, "operations a byte of weights", "G operations a second");
  draw_roof(svg, f, plot);
  for (const ScatterPoint& p : points) {
    svg.marker(f.x.place(p.x), f.y.place(p.y), 6, std::max(p.colour - 1, 0),
               colour_class(p.colour, "fill ring"), p.tip);
  }
  draw_names(svg, f, points, plot.ceilings);
  return svg.finish();
}

}  // namespace nibble
