#include <algorithm>
#include <cmath>

#include "nibble/report/plot_frame.h"
#include "nibble/report/plots.h"

namespace nibble {
namespace {

/// Lowest, mean and highest of each stretch of a curve.
struct Stretch {
  double middle;  ///< step
  double low, mean, high;
};

std::vector<Stretch> stretches(const std::vector<float>& values, size_t most) {
  std::vector<Stretch> out;
  const size_t length = std::max<size_t>(1, (values.size() + most - 1) / most);
  for (size_t begin = 0; begin < values.size(); begin += length) {
    const size_t end = std::min(values.size(), begin + length);
    Stretch s{static_cast<double>(begin + end + 1) / 2, 0, 0, 0};
    int count = 0;
    for (size_t i = begin; i < end; ++i) {
      const double v = values[i];
      if (!std::isfinite(v)) continue;
      s.low = count == 0 ? v : std::min(s.low, v);
      s.high = count == 0 ? v : std::max(s.high, v);
      s.mean += v;
      ++count;
    }
    if (count == 0) continue;
    s.mean /= count;
    out.push_back(s);
  }
  return out;
}

/// The mean over a window of a twenty-fifth of the curve around each stretch, cut at the ends.
std::vector<double> running_mean(const std::vector<Stretch>& curve) {
  const size_t reach = curve.size() / 50;
  std::vector<double> out;
  for (size_t i = 0; i < curve.size(); ++i) {
    // As far on both sides as both allow, so that the steep beginning is not bent.
    const size_t r = std::min({reach, i, curve.size() - 1 - i});
    double sum = 0;
    for (size_t j = i - r; j <= i + r; ++j) sum += curve[j].mean;
    out.push_back(sum / static_cast<double>(2 * r + 1));
  }
  return out;
}

void draw_curve(Svg& svg, const Frame& f, const std::vector<Stretch>& curve) {
  Svg::Points band, line;
  for (const Stretch& s : curve) band.emplace_back(f.x.place(s.middle), f.y.place(s.high));
  for (auto s = curve.rbegin(); s != curve.rend(); ++s) {
    band.emplace_back(f.x.place(s->middle), f.y.place(s->low));
  }
  const std::vector<double> smooth = running_mean(curve);
  for (size_t i = 0; i < curve.size(); ++i) {
    line.emplace_back(f.x.place(curve[i].middle), f.y.place(smooth[i]));
  }
  svg.path(band, "c1 tint", true).path(line, "c1 stroke");
}

/// Names stand above their lines, or below where two lines are close.
void draw_levels(Svg& svg, const Frame& f, std::vector<Level> levels) {
  std::sort(levels.begin(), levels.end(),
            [](const Level& a, const Level& b) { return a.value < b.value; });
  double last = 1e9;
  for (const Level& l : levels) {
    const double y = f.y.place(l.value);
    svg.line(f.x.from, y, f.x.to, y, colour_class(l.colour, "dash"));
    const bool crowded = last - (y - 7) < kPlotLine;
    const double text_y = crowded ? last - kPlotLine : y - 7;
    svg.text(f.x.to, text_y, l.label, Anchor::end, "label halo");
    last = text_y;
  }
}

}  // namespace

std::string curve_plot(const CurvePlot& plot) {
  const std::vector<Stretch> curve = stretches(plot.values, 400);
  if (curve.empty()) return nothing_to_show("No curve was recorded.");
  std::vector<double> ys;
  for (const Stretch& s : curve) ys.insert(ys.end(), {s.low, s.high});
  std::vector<Level> levels;
  for (const Level& l : plot.levels) {
    if (!std::isfinite(l.value)) continue;
    levels.push_back(l);
    ys.push_back(l.value);
  }
  Svg svg(kPlotWidth, 340, plot.description);
  Frame f{{0, static_cast<double>(plot.values.size()), 48, kPlotWidth - 12, false},
          scale_over(ys, 290, 30, false, false)};
  draw_axes(svg, f, plot.x_title, plot.y_title);
  draw_curve(svg, f, curve);
  draw_levels(svg, f, std::move(levels));
  return svg.finish();
}

}  // namespace nibble
