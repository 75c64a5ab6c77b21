// Marks of a drawing by their coordinates, and that no text of theirs can become markup.
#include "nibble/report/svg.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/report/marks.h"
#include "tests/report/markup.h"

namespace nibble {
namespace {

using testing::Mark;
using testing::marks;
using Path = std::vector<std::pair<double, double>>;

// The only mark of a drawing that has one.
Mark only_mark(const Svg& svg) {
  const auto all = marks(svg.finish());
  EXPECT_EQ(all.size(), 2u) << svg.finish();
  return all.back();
}

Path outline(int shape) {
  const Mark mark = only_mark(Svg(200, 100, "").marker(50, 50, 10, shape, "c1 fill ring"));
  EXPECT_EQ(mark.tag, "path");
  EXPECT_EQ(mark.attributes.at("d").back(), 'Z') << "closed";
  return testing::points_of(mark);
}

TEST(Svg, WritesCoordinatesWithOneDigitAtMost) {
  const Mark line = only_mark(Svg(200, 100, "").line(1.04, 2.96, -0.04, 12.34, "axis"));
  EXPECT_EQ(line.attributes.at("x1"), "1");
  EXPECT_EQ(line.attributes.at("y1"), "3");
  EXPECT_EQ(line.attributes.at("x2"), "0") << "no -0";
  EXPECT_EQ(line.attributes.at("y2"), "12.3");
  EXPECT_THROW(Svg(200, 100, "").line(0, std::nan(""), 0, 0, "axis"), std::exception);
}

TEST(Svg, IsWideFromFourHundredOn) {
  EXPECT_EQ(marks(Svg(400, 50.5, "").finish())[0].attributes.at("class"), "wide");
  const Mark narrow = marks(Svg(399, 50.5, "").finish())[0];
  EXPECT_EQ(narrow.attributes.at("class"), "narrow");
  EXPECT_EQ(narrow.attributes.at("viewBox"), "0 0 399 50.5");
}

TEST(Svg, HasFiveShapesThatTellModelsApart) {
  const Mark circle = only_mark(Svg(200, 100, "").marker(50, 50, 10, 0, "c0 fill"));
  EXPECT_EQ(circle.tag, "circle");
  EXPECT_EQ(circle.number("r"), 10);
  EXPECT_EQ(outline(1), (Path{{41, 41}, {59, 41}, {59, 59}, {41, 59}}));
  EXPECT_EQ(outline(2), (Path{{50, 37.5}, {62.5, 50}, {50, 62.5}, {37.5, 50}}));
  EXPECT_EQ(outline(3), (Path{{50, 37.5}, {62.5, 60}, {37.5, 60}}));
  const Path cross = outline(4);
  ASSERT_EQ(cross.size(), 12u);
  for (const auto& [x, y] : cross) {
    const double dx = std::abs(x - 50), dy = std::abs(y - 50);
    EXPECT_TRUE((dx == 3.8 || std::abs(dx - 3.8) < 1e-9) || std::abs(dy - 3.8) < 1e-9) << x << y;
    EXPECT_LE(std::max(dx, dy), 12.5);
  }
  EXPECT_EQ(outline(5), outline(1)) << "a sixth model begins again";
}

TEST(Svg, PathsAreOpenUnlessClosed) {
  const Path points = {{0, 1}, {2.25, 3}, {4, 5}};
  EXPECT_EQ(only_mark(Svg(9, 9, "").path(points, "c1")).attributes.at("d"), "M0 1L2.2 3L4 5");
  EXPECT_EQ(only_mark(Svg(9, 9, "").path(points, "c1", true)).attributes.at("d"),
            "M0 1L2.2 3L4 5Z");
  EXPECT_EQ(marks(Svg(9, 9, "").path({}, "c1").finish()).size(), 1u) << "nothing of no points";
}

TEST(Svg, TextsStandAtTheirAnchors) {
  Svg svg(200, 100, "");
  svg.text(1, 2, "a", Anchor::start, "").text(3, 4, "b", Anchor::middle, "label");
  svg.text(5, 6, "c", Anchor::end, "");
  const auto all = marks(svg.finish());
  EXPECT_EQ(all[1].attributes.at("text-anchor"), "start");
  EXPECT_EQ(all[2].attributes.at("text-anchor"), "middle");
  EXPECT_EQ(all[3].attributes.at("text-anchor"), "end");
  EXPECT_EQ(all[2].text, "b");
}

TEST(Svg, NoTextBecomesMarkup) {
  const std::string evil = "</text><script>&\"'\x1b";
  Svg svg(200, 100, evil);
  svg.rect(0, 0, 1, 1, "track", evil).marker(5, 5, 1, 0, "c1", evil).marker(5, 5, 1, 2, "c1", evil);
  svg.text(1, 2, evil, Anchor::end, "label");
  const std::string out = svg.finish();
  EXPECT_EQ(testing::markup_fault(out), "");
  EXPECT_EQ(out.find("<script"), std::string::npos);
  const std::string shown = "&lt;/text&gt;&lt;script&gt;&amp;&quot;&#39;\\x1b";
  size_t count = 0;
  for (size_t at = out.find(shown); at != std::string::npos; at = out.find(shown, at + 1)) ++count;
  EXPECT_EQ(count, 5u) << out;
}

TEST(Svg, CornersAreRoundWhereAskedAndTipsAreShownOnHover) {
  const std::string plain = Svg(9, 9, "").rect(1, 2, 3, 4, "track").finish();
  EXPECT_EQ(plain.find("rx="), std::string::npos);
  EXPECT_EQ(plain.find("<title>"), std::string::npos);
  const std::string round = Svg(9, 9, "").rect(1, 2, 3, 4, "track", "tip", 2.5).finish();
  EXPECT_NE(round.find("rx=\"2.5\""), std::string::npos);
  EXPECT_NE(round.find("<title>tip</title></rect>"), std::string::npos);
}

}  // namespace
}  // namespace nibble
