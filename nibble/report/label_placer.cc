#include "nibble/report/label_placer.h"

#include <algorithm>

#include "nibble/report/plot_frame.h"
#include "nibble/report/text.h"

namespace nibble {
namespace {

struct Direction {
  double x, y;
  Anchor anchor;
};
// In order of preference: beside the point, then above and below.
constexpr Direction kDirections[] = {{1, 0, Anchor::start},      {-1, 0, Anchor::end},
                                     {0.8, -0.8, Anchor::start}, {0.8, 0.8, Anchor::start},
                                     {-0.8, -0.8, Anchor::end},  {-0.8, 0.8, Anchor::end},
                                     {0, -1.1, Anchor::middle},  {0, 1.1, Anchor::middle}};
constexpr double kDistances[] = {12, 26, 42, 60};
constexpr double kNear = 12;
// From the middle of a line of text to its baseline.
constexpr double kBaseline = 5;

Box box_of(double x, double middle, Anchor anchor, double width) {
  const double left = anchor == Anchor::start ? x
                      : anchor == Anchor::end ? x - width
                                              : x - width / 2;
  return {left, middle - kPlotLine / 2, width, kPlotLine};
}

}  // namespace

double Box::overlap(const Box& o) const {
  const double w = std::min(x + width, o.x + o.width) - std::max(x, o.x);
  const double h = std::min(y + height, o.y + o.height) - std::max(y, o.y);
  return w > 0 && h > 0 ? w * h : 0;
}

double LabelPlacer::covered(const Box& box) const {
  double sum = std::max(0.0, (box.width * box.height - box.overlap(inside_)) * 3);
  for (const Box& other : taken_) sum += box.overlap(other);
  return sum < 1e-6 ? 0 : sum;
}

PlacedLabel LabelPlacer::place(double x, double y, std::string_view label) {
  const double width = static_cast<double>(display_width(label)) * kPlotCharacter;
  PlacedLabel best;
  Box best_box;
  double least = -1;
  for (const double distance : kDistances) {
    for (const Direction& d : kDirections) {
      const double at_x = x + d.x * distance, middle = y + d.y * distance;
      const Box box = box_of(at_x, middle, d.anchor, width);
      const double cost = covered(box);
      if (least >= 0 && cost >= least) continue;
      least = cost;
      best = {at_x, middle + kBaseline, d.anchor, distance > kNear};
      best_box = box;
    }
    if (least == 0) break;
  }
  taken_.push_back(best_box);
  return best;
}

}  // namespace nibble
