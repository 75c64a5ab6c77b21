// A drawing, mark by mark, as inline SVG. Colours are classes of the page's style sheet ("c1
// fill"), so that a drawing follows light and dark. Text from outside is escaped here.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nibble {

enum class Anchor { start, middle, end };

class Svg {
 public:
  /// `description` is what someone who cannot see the drawing is told.
  Svg(double width, double height, std::string_view description);
  Svg& line(double x1, double y1, double x2, double y2, std::string_view css_class);
  /// `tip` is shown on hover.
  Svg& rect(double x, double y, double width, double height, std::string_view css_class,
            std::string_view tip = "", double radius = 0);
  /// Shapes tell models apart without colour: 0 circle, 1 square, 2 diamond, 3 triangle, 4 cross.
  Svg& marker(double x, double y, double radius, int shape, std::string_view css_class,
              std::string_view tip = "");
  Svg& text(double x, double y, std::string_view text, Anchor anchor, std::string_view css_class);
  using Points = std::vector<std::pair<double, double>>;
  Svg& path(const Points& points, std::string_view css_class, bool closed = false);
  std::string finish() const;

 private:
  std::string out_;
};

}  // namespace nibble
