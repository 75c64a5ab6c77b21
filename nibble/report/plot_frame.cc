#include "nibble/report/plot_frame.h"

#include <fmt/format.h>

#include <algorithm>

#include "nibble/report/html.h"
#include "nibble/report/plots.h"

namespace nibble {

std::string colour_class(int colour, std::string_view rest) {
  return fmt::format("c{} {}", std::clamp(colour, 0, 5), rest);
}

void draw_axes(Svg& svg, const Frame& f, std::string_view x_title, std::string_view y_title) {
  for (const Tick& t : f.y.ticks(f.y.log ? 8 : 5)) {
    const double y = f.y.place(t.value);
    svg.line(f.x.from, y, f.x.to, y, "grid-line");
    svg.text(f.x.from - 8, y + 4, t.label, Anchor::end, "");
  }
  svg.line(f.x.from, f.y.from, f.x.to, f.y.from, "axis");
  for (const Tick& t : f.x.ticks(5)) {
    svg.text(f.x.place(t.value), f.y.from + 19, t.label, Anchor::middle, "");
  }
  svg.text(f.x.to, f.y.from + 38, x_title, Anchor::end, "");
  svg.text(0, 12, y_title, Anchor::start, "");
}

std::string nothing_to_show(std::string_view why) {
  return fmt::format("<p class=\"empty\">{}</p>\n", escape_html(why));
}

}  // namespace nibble
