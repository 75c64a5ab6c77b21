// Puts names beside points so that they cover neither each other nor the points.
#pragma once

#include <string_view>
#include <vector>

#include "nibble/report/svg.h"

namespace nibble {

struct Box {
  double x = 0, y = 0, width = 0, height = 0;
  /// The area that both cover.
  double overlap(const Box& other) const;
};

struct PlacedLabel {
  double x = 0, y = 0;  ///< of the text's baseline, at its anchor
  Anchor anchor = Anchor::start;
  bool far = false;  ///< so far from its point that a line should join them
};

class LabelPlacer {
 public:
  /// Labels that stand out of `inside` count as covering something.
  explicit LabelPlacer(const Box& inside) : inside_(inside) {}
  void keep_clear(const Box& box) { taken_.push_back(box); }
  /// The nearest place around (x, y) that covers nothing, else the one that covers least.
  PlacedLabel place(double x, double y, std::string_view label);

 private:
  double covered(const Box& box) const;
  Box inside_;
  std::vector<Box> taken_;
};

}  // namespace nibble
