#include "nibble/report/svg.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/report/html.h"

namespace nibble {
namespace {

/// A coordinate with no more digits than can be seen.
std::string at(double v) {
  NIBBLE_CHECK(std::isfinite(v));
  std::string out = fmt::format("{:.1f}", v);
  if (out.ends_with(".0")) out.resize(out.size() - 2);
  return out == "-0" ? "0" : out;
}

std::string finish_mark(std::string_view name, std::string_view tip) {
  if (tip.empty()) return "/>\n";
  return fmt::format("><title>{}</title></{}>\n", escape_html(tip), name);
}

std::string path_data(const Svg::Points& points, bool closed) {
  std::string d;
  for (const auto& [x, y] : points) d += (d.empty() ? "M" : "L") + at(x) + " " + at(y);
  return closed ? d + "Z" : d;
}

}  // namespace

Svg::Svg(double width, double height, std::string_view description)
    : out_(fmt::format("<svg class=\"{}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
                       width >= 400 ? "wide" : "narrow", at(width), at(height),
                       escape_html(description))) {}

Svg& Svg::line(double x1, double y1, double x2, double y2, std::string_view css_class) {
  out_ += fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" class=\"{}\"/>\n", at(x1),
                      at(y1), at(x2), at(y2), css_class);
  return *this;
}

Svg& Svg::rect(double x, double y, double width, double height, std::string_view css_class,
               std::string_view tip, double radius) {
  const std::string round = radius > 0 ? fmt::format(" rx=\"{}\"", at(radius)) : "";
  out_ += fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"{} class=\"{}\"{}", at(x),
                      at(y), at(width), at(height), round, css_class, finish_mark("rect", tip));
  return *this;
}

Svg& Svg::marker(double x, double y, double radius, int shape, std::string_view css_class,
                 std::string_view tip) {
  const double r = radius;
  if (shape == 0) {
    out_ += fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" class=\"{}\"{}", at(x), at(y), at(r),
                        css_class, finish_mark("circle", tip));
    return *this;
  }
  const double w = r * 0.38, d = r * 1.25;
  const std::array<Points, 4> outlines = {Points{{x - r * .9, y - r * .9},
                                                 {x + r * .9, y - r * .9},
                                                 {x + r * .9, y + r * .9},
                                                 {x - r * .9, y + r * .9}},
                                          Points{{x, y - d}, {x + d, y}, {x, y + d}, {x - d, y}},
                                          Points{{x, y - d}, {x + d, y + r}, {x - d, y + r}},
                                          Points{{x - w, y - d},
                                                 {x + w, y - d},
                                                 {x + w, y - w},
                                                 {x + d, y - w},
                                                 {x + d, y + w},
                                                 {x + w, y + w},
                                                 {x + w, y + d},
                                                 {x - w, y + d},
                                                 {x - w, y + w},
                                                 {x - d, y + w},
                                                 {x - d, y - w},
                                                 {x - w, y - w}}};
  const Points& outline = outlines[static_cast<size_t>(shape - 1) % outlines.size()];
  out_ += fmt::format("<path d=\"{}\" class=\"{}\"{}", path_data(outline, true), css_class,
                      finish_mark("path", tip));
  return *this;
}

Svg& Svg::text(double x, double y, std::string_view text, Anchor anchor,
               std::string_view css_class) {
  static constexpr std::array<std::string_view, 3> kAnchors = {"start", "middle", "end"};
  out_ += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"{}\" class=\"{}\">{}</text>\n", at(x),
                      at(y), kAnchors[static_cast<size_t>(anchor)], css_class, escape_html(text));
  return *this;
}

Svg& Svg::path(const Points& points, std::string_view css_class, bool closed) {
  if (points.empty()) return *this;
  out_ += fmt::format("<path d=\"{}\" class=\"{}\"/>\n", path_data(points, closed), css_class);
  return *this;
}

std::string Svg::finish() const { return out_ + "</svg>\n"; }

}  // namespace nibble
