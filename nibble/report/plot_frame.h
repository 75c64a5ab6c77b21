// What plots share: their size, axes, and classes of colour.
#pragma once

#include <string>
#include <string_view>

#include "nibble/report/scale.h"
#include "nibble/report/svg.h"

namespace nibble {

inline constexpr double kPlotWidth = 460;
/// Width of a character and height of a line where text is largest against the drawing: on a
/// narrow page.
inline constexpr double kPlotCharacter = 9.2, kPlotLine = 19;

/// "c2 fill" for colour 2 and "fill".
std::string colour_class(int colour, std::string_view rest);

struct Frame {
  Scale x, y;
};
/// Lines across at the ticks of y, numbers along both, the titles at the ends.
void draw_axes(Svg& svg, const Frame& frame, std::string_view x_title, std::string_view y_title);

}  // namespace nibble
