#include "nibble/report/plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/report/html.h"
#include "nibble/report/numbers.h"
#include "nibble/report/scale.h"
#include "nibble/report/svg.h"
#include "nibble/report/text.h"

namespace nibble {
namespace {

constexpr double kWidth = 460;
// Margins and label sizes are those of the narrow page, where text is largest against the drawing.
constexpr double kCharacter = 7.6, kLine = 17;

std::string colour_class(int colour, std::string_view rest) {
  return fmt::format("c{} {}", std::clamp(colour, 0, 5), rest);
}

struct Frame {
  Scale x, y;
};

void draw_axes(Svg& svg, const Frame& f, int x_ticks, std::string_view x_title,
               std::string_view y_title) {
  for (const Tick& t : f.y.ticks(5)) {
    const double y = f.y.place(t.value);
    svg.line(f.x.from, y, f.x.to, y, "grid-line");
    svg.text(f.x.from - 8, y + 4, t.label, Anchor::end, "");
  }
  svg.line(f.x.from, f.y.from, f.x.to, f.y.from, "axis");
  for (const Tick& t : f.x.ticks(x_ticks)) {
    svg.text(f.x.place(t.value), f.y.from + 19, t.label, Anchor::middle, "");
  }
  svg.text(f.x.to, f.y.from + 38, x_title, Anchor::end, "");
  svg.text(0, 12, y_title, Anchor::start, "");
}

struct Box {
  double x, y, width, height;
  double overlap(const Box& o) const {
    const double w = std::min(x + width, o.x + o.width) - std::max(x, o.x);
    const double h = std::min(y + height, o.y + o.height) - std::max(y, o.y);
    return w > 0 && h > 0 ? w * h : 0;
  }
};

struct Placed {
  double x, y;
  Anchor anchor;
};

/// Puts names beside points: the first of eight places that covers nothing, else the one that
/// covers least.
class LabelPlacer {
 public:
  explicit LabelPlacer(Box inside) : inside_(inside) {}
  void keep_clear(const Box& box) { taken_.push_back(box); }

  Placed place(double x, double y, std::string_view label) {
    const double width = static_cast<double>(display_width(label)) * kCharacter;
    struct Offset {
      double x, y;
      Anchor anchor;
    };
    static constexpr Offset kOffsets[] = {
        {11, 4, Anchor::start},   {-11, 4, Anchor::end},    {9, -9, Anchor::start},
        {9, 19, Anchor::start},   {-9, -9, Anchor::end},    {-9, 19, Anchor::end},
        {0, -12, Anchor::middle}, {0, 23, Anchor::middle},  {0, -28, Anchor::middle},
        {0, 39, Anchor::middle},  {14, -24, Anchor::start}, {-14, -24, Anchor::end}};
    Placed best{};
    Box best_box{};
    double least = -1;
    for (const Offset& o : kOffsets) {
      const double left = x + o.x -
                          (o.anchor == Anchor::start ? 0
                           : o.anchor == Anchor::end ? width
                                                     : width / 2);
      const Box box{left, y + o.y - 12, width, kLine};
      const double cost = covered(box);
      if (least < 0 || cost < least) {
        least = cost;
        best = {x + o.x, y + o.y, o.anchor};
        best_box = box;
      }
      if (least == 0) break;
    }
    taken_.push_back(best_box);
    return best;
  }

 private:
  double covered(const Box& box) const {
    double sum = (box.width * box.height - box.overlap(inside_)) * 3;
    if (sum < 1e-6) sum = 0;
    for (const Box& other : taken_) sum += box.overlap(other);
    return sum;
  }
  Box inside_;
  std::vector<Box> taken_;
};

bool drawable(const ScatterPoint& p, bool log_y) {
  return std::isfinite(p.x) && std::isfinite(p.y) && (!log_y || p.y > 0);
}

void draw_points(Svg& svg, const Frame& f, const std::vector<ScatterPoint>& points) {
  LabelPlacer placer({f.x.from, 0, kWidth - f.x.from, f.y.from});
  for (const ScatterPoint& p : points) {
    placer.keep_clear({f.x.place(p.x) - 7, f.y.place(p.y) - 7, 14, 14});
  }
  for (const ScatterPoint& p : points) {
    const double x = f.x.place(p.x), y = f.y.place(p.y);
    if (p.y_error > 0 && std::isfinite(p.y_error)) {
      svg.line(x, f.y.place(std::max(p.y - p.y_error, f.y.low)), x, f.y.place(p.y + p.y_error),
               colour_class(p.colour, "thin"));
    }
    svg.marker(x, y, 6, p.colour == 0 ? 0 : p.colour - 1, colour_class(p.colour, "fill ring"),
               p.tip);
  }
  for (const ScatterPoint& p : points) {
    const Placed at = placer.place(f.x.place(p.x), f.y.place(p.y), display_text(p.label));
    svg.text(at.x, at.y, p.label, at.anchor, "label halo");
  }
}

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
    const bool crowded = last - (y - 7) < kLine;
    const double text_y = crowded ? last - kLine : y - 7;
    svg.text(f.x.to, text_y, l.label, Anchor::end, "label halo");
    last = text_y;
  }
}

/// Outline of a histogram as a staircase.
Svg::Points staircase(const Histogram& h, const Scale& x, const Scale& y) {
  int64_t most = 1;
  for (const int64_t c : h.counts) most = std::max(most, c);
  Svg::Points out{{x.place(h.low), y.from}};
  const double bin = (h.high - h.low) / static_cast<double>(h.counts.size());
  for (size_t i = 0; i < h.counts.size(); ++i) {
    const double top = y.place(static_cast<double>(h.counts[i]) / static_cast<double>(most));
    out.emplace_back(x.place(h.low + bin * static_cast<double>(i)), top);
    out.emplace_back(x.place(h.low + bin * static_cast<double>(i + 1)), top);
  }
  out.emplace_back(x.place(h.high), y.from);
  return out;
}

bool drawable(const Histogram& h) {
  return !h.counts.empty() && std::isfinite(h.low) && std::isfinite(h.high) && h.low < h.high;
}

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

std::string nothing_to_show(std::string_view why) {
  return fmt::format("<p class=\"empty\">{}</p>\n", escape_html(why));
}

std::string scatter_plot(const ScatterPlot& plot) {
  std::vector<ScatterPoint> points;
  std::vector<double> xs, ys;
  for (const ScatterPoint& p : plot.points) {
    if (!drawable(p, plot.log_y)) continue;
    points.push_back(p);
    xs.push_back(p.x);
    ys.push_back(p.y);
  }
  if (points.empty()) return nothing_to_show("There are no points to draw.");
  Svg svg(kWidth, 340, plot.description);
  const Frame f{scale_over(xs, 58, kWidth - 12, false, true),
                scale_over(ys, 290, 30, plot.log_y, !plot.log_y)};
  draw_axes(svg, f, 6, plot.x_title, plot.y_title);
  draw_points(svg, f, points);
  return svg.finish();
}

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
  Svg svg(kWidth, 340, plot.description);
  Frame f{{0, static_cast<double>(plot.values.size()), 48, kWidth - 12, false},
          scale_over(ys, 290, 30, false, false)};
  draw_axes(svg, f, 4, plot.x_title, plot.y_title);
  draw_curve(svg, f, curve);
  draw_levels(svg, f, std::move(levels));
  return svg.finish();
}

std::string bar_chart(const BarChart& chart) {
  if (chart.rows.empty()) return nothing_to_show("Nothing was measured here.");
  constexpr double kLabel = 20, kBar = 16, kBetween = 4, kAfter = 11;
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
  const double room = std::min(chart.width * 0.6, static_cast<double>(longest) * kCharacter + 10);
  const double most = largest(chart);
  const Scale x{0, most > 0 ? most : 1, 0, chart.width - room, false};
  double y = 0;
  for (const BarRow& row : chart.rows) {
    svg.text(0, y + 14, row.label, Anchor::start, "label");
    y += kLabel;
    for (const Bar& bar : row.bars) {
      const double width = std::max(x.place(bar.value), 2.0);
      svg.rect(0, y, chart.width - room, kBar, "track", "", 3);
      svg.rect(0, y, width, kBar, colour_class(bar.colour, bar.pale ? "pale" : "fill"), bar.tip, 3);
      svg.text(chart.width, y + 13, bar.text, Anchor::end, "label");
      y += kBar + kBetween;
    }
    y += kAfter;
  }
  return svg.finish();
}

std::string histogram_plot(const HistogramPlot& plot) {
  constexpr double kNarrow = 320;
  std::vector<double> bounds;
  for (const HistogramLayer& l : plot.layers) {
    if (drawable(l.histogram)) bounds.insert(bounds.end(), {l.histogram.low, l.histogram.high});
  }
  if (bounds.empty()) return nothing_to_show("There are no values to draw.");
  const auto [low, high] = std::minmax_element(bounds.begin(), bounds.end());
  const double bottom = plot.height - 42;
  const Scale x{*low, *high, 0, kNarrow, false}, y{0, 1, bottom, 4, false};
  Svg svg(kNarrow, plot.height, plot.description);
  for (const HistogramLayer& l : plot.layers) {
    if (!drawable(l.histogram)) continue;
    const Svg::Points outline = staircase(l.histogram, x, y);
    if (l.outline) {
      svg.path(outline, colour_class(l.colour, "thin"));
    } else {
      svg.path(outline, colour_class(l.colour, "pale"), true);
    }
  }
  svg.line(0, bottom, kNarrow, bottom, "axis");
  for (const Tick& t : x.ticks(4)) {
    const double place = x.place(t.value);
    const Anchor anchor = place < 14             ? Anchor::start
                          : place > kNarrow - 14 ? Anchor::end
                                                 : Anchor::middle;
    svg.line(place, bottom, place, bottom + 4, "axis");
    svg.text(place, bottom + 18, t.label, anchor, "");
  }
  svg.text(kNarrow / 2, bottom + 37, plot.x_title, Anchor::middle, "");
  return svg.finish();
}

}  // namespace nibble
