#include <algorithm>
#include <cmath>

#include "nibble/report/plot_frame.h"
#include "nibble/report/plots.h"

namespace nibble {
namespace {

bool drawable_histogram(const Histogram& h) {
  return !h.counts.empty() && std::isfinite(h.low) && std::isfinite(h.high) && h.low < h.high;
}

/// Share of the values in a bin, by the bin's width: what makes histograms of unlike bins alike.
double density(const Histogram& h, size_t bin) {
  double total = 0;
  for (const int64_t c : h.counts) total += static_cast<double>(c);
  const double width = (h.high - h.low) / static_cast<double>(h.counts.size());
  return total > 0 ? static_cast<double>(h.counts[bin]) / total / width : 0;
}

double highest_density(const Histogram& h) {
  double most = 0;
  for (size_t i = 0; i < h.counts.size(); ++i) most = std::max(most, density(h, i));
  return most;
}

/// Outline of a histogram as a staircase.
Svg::Points staircase(const Histogram& h, const Scale& x, const Scale& y) {
  Svg::Points out{{x.place(h.low), y.from}};
  const double bin = (h.high - h.low) / static_cast<double>(h.counts.size());
  for (size_t i = 0; i < h.counts.size(); ++i) {
    const double top = y.place(density(h, i));
    out.emplace_back(x.place(h.low + bin * static_cast<double>(i)), top);
    out.emplace_back(x.place(h.low + bin * static_cast<double>(i + 1)), top);
  }
  out.emplace_back(x.place(h.high), y.from);
  return out;
}

/// The middle one of the densities of the bins that hold anything.
double usual_density(const Histogram& h) {
  std::vector<double> all;
  for (size_t i = 0; i < h.counts.size(); ++i) {
    if (h.counts[i] > 0) all.push_back(density(h, i));
  }
  if (all.empty()) return 0;
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

/// The density at the top of the drawing: room above an outline for what is drawn under it; a
/// histogram alone is cut where a spike would flatten the rest.
double top_density(const std::vector<HistogramLayer>& layers) {
  const HistogramLayer* leading = nullptr;
  for (const HistogramLayer& l : layers) {
    if (!drawable_histogram(l.histogram)) continue;
    if (leading == nullptr || (l.outline && !leading->outline)) leading = &l;
  }
  if (leading == nullptr) return 1;
  const Histogram& h = leading->histogram;
  const double top = leading->outline ? highest_density(h) * 1.5
                                      : std::min(highest_density(h) * 1.05, usual_density(h) * 2.5);
  return top > 0 && std::isfinite(top) ? top : 1;
}

}  // namespace

std::string histogram_plot(const HistogramPlot& plot) {
  constexpr double kNarrow = 320;
  std::vector<double> bounds;
  for (const HistogramLayer& l : plot.layers) {
    if (drawable_histogram(l.histogram))
      bounds.insert(bounds.end(), {l.histogram.low, l.histogram.high});
  }
  if (bounds.empty()) return nothing_to_show("There are no values to draw.");
  const auto [low, high] = std::minmax_element(bounds.begin(), bounds.end());
  const double bottom = plot.height - 42;
  const Scale x{*low, *high, 0, kNarrow, false}, y{0, top_density(plot.layers), bottom, 4, false};
  Svg svg(kNarrow, plot.height, plot.description);
  for (const HistogramLayer& l : plot.layers) {
    if (!drawable_histogram(l.histogram)) continue;
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
