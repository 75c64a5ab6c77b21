// Where each kind of plot puts what it draws, by coordinates worked out by hand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "nibble/report/plots.h"
#include "tests/report/marks.h"
#include "tests/report/markup.h"

namespace nibble {
namespace {

using testing::Mark;
using testing::marks;
using testing::points_of;
using testing::texts_of;
using Path = std::vector<std::pair<double, double>>;

// The points of the only path of a class, as far as their one digit goes.
void expect_path(const std::string& svg, std::string_view css_class, const Path& expected) {
  const auto paths = marks(svg, "path", css_class);
  ASSERT_EQ(paths.size(), 1u) << css_class << svg;
  const Path found = points_of(paths[0]);
  ASSERT_EQ(found.size(), expected.size()) << svg;
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i].first, expected[i].first, 0.051) << i;
    EXPECT_NEAR(found[i].second, expected[i].second, 0.051) << i;
  }
}

Mark text_mark(const std::string& svg, const std::string& text) {
  for (const Mark& m : marks(svg)) {
    if (m.tag == "text" && m.text == text) return m;
  }
  ADD_FAILURE() << "no text " << text << " in " << svg;
  return {};
}

// x from 1 to 5 over 68..448, y from 0 (which it includes) to 10 over 290..30.
TEST(ScatterPlaces, AreThoseOfItsScales) {
  ScatterPlot plot;
  plot.points = {{1, 10, 0, "a", "", 1}, {5, 2.5, 0, "b", "", 0}, {3, 5, 1, "c", "", 2}};
  const std::string svg = scatter_plot(plot);
  const auto first = marks(svg, "circle", "c1 fill ring"),
             base = marks(svg, "circle", "c0 fill ring");
  ASSERT_EQ(first.size(), 1u);
  ASSERT_EQ(base.size(), 1u) << "shape 0 is left to the first two colours";
  EXPECT_EQ(first[0].number("cx"), 68);
  EXPECT_EQ(first[0].number("cy"), 30);
  EXPECT_EQ(base[0].number("cx"), 448);
  EXPECT_EQ(base[0].number("cy"), 225);
  EXPECT_EQ(marks(svg, "path", "c2 fill ring").size(), 1u) << "a square";
  const auto whiskers = marks(svg, "line", "c2 thin");
  ASSERT_EQ(whiskers.size(), 1u) << "only where an error is known";
  EXPECT_EQ(whiskers[0].number("x1"), 258);
  EXPECT_EQ(std::max(whiskers[0].number("y1"), whiskers[0].number("y2")), 186);
  EXPECT_EQ(std::min(whiskers[0].number("y1"), whiskers[0].number("y2")), 134);
}

// Down to nothing, which a logarithmic scale does not have: the whisker ends at the scale's foot.
TEST(ScatterPlaces, AWhiskerOfAllOfItsValueGoesToTheFoot) {
  ScatterPlot plot;
  plot.log_y = true;
  plot.points = {{1, 1, 1, "a", "", 1}, {2, 10, std::nan(""), "b", "", 2}};
  const std::string svg = scatter_plot(plot);
  const auto whiskers = marks(svg, "line", "c1 thin");
  ASSERT_EQ(whiskers.size(), 1u);
  EXPECT_EQ(whiskers[0].number("y1"), 290);
  EXPECT_TRUE(marks(svg, "line", "c2 thin").empty());
}

TEST(LinePlaces, GoFromTheFirstXToTheLast) {
  LinePlot plot{"", "x", "y", true, {{"a", 1, {{10, 0.2}, {20, 0.4}, {30, 0.6}}}}};
  const std::string svg = line_plot(plot);
  // The name is 7.2 wide, with 10 between: the lines end at 460 - 17.2.
  expect_path(svg, "c1 stroke", {{56, 290}, {249.4, 160}, {442.8, 30}});
  const Mark name = text_mark(svg, "a");
  EXPECT_NEAR(name.number("x"), 452.8, 0.051);
  EXPECT_EQ(name.number("y"), 34);
}

TEST(LinePlaces, AShareGoesNoFurtherThanItCan) {
  const auto scale_texts = [](double y, bool share) {
    auto out = texts_of(line_plot({"", "", "", share, {{"a", 1, {{1, y}, {2, y}}}}}));
    std::erase(out, "a");
    return out;
  };
  const auto has = [](const std::vector<std::string>& all, const std::string& one) {
    return std::find(all.begin(), all.end(), one) != all.end();
  };
  EXPECT_TRUE(has(scale_texts(1, false), "1.10"));
  EXPECT_FALSE(has(scale_texts(1, true), "1.10"));
  EXPECT_TRUE(has(scale_texts(1, true), "1.00"));
  EXPECT_TRUE(has(scale_texts(0, false), "-0.5"));
  EXPECT_FALSE(has(scale_texts(0, true), "-0.5"));
  EXPECT_TRUE(has(scale_texts(0, true), "0.0"));
}

TEST(LinePlaces, LinesOfOneColourDifferInTheirDashes) {
  LinePlot plot;
  for (int i = 0; i < 4; ++i) plot.series.push_back({"line", 2, {{0, i}, {1, i}}});
  plot.series.push_back({"other", 3, {{0, 9}, {1, 9}}});
  const std::string svg = line_plot(plot);
  EXPECT_EQ(marks(svg, "path", "c2 stroke").size(), 1u);
  EXPECT_EQ(marks(svg, "path", "c2 stroke dashed").size(), 1u);
  EXPECT_EQ(marks(svg, "path", "c2 stroke dotted").size(), 2u);
  EXPECT_EQ(marks(svg, "path", "c3 stroke").size(), 1u);
}

TEST(LinePlaces, NamesOfLinesThatEndTogetherStandApart) {
  LinePlot plot;
  for (int i = 0; i < 5; ++i)
    plot.series.push_back({"line " + std::to_string(i), i, {{0, 4}, {1, i == 4 ? 4 : 0}}});
  const std::string svg = line_plot(plot);
  std::vector<double> ys;
  for (int i = 0; i < 5; ++i) ys.push_back(text_mark(svg, "line " + std::to_string(i)).number("y"));
  EXPECT_EQ(ys[4], 34) << "nothing is near the top one";
  ys.pop_back();
  std::sort(ys.begin(), ys.end());
  for (size_t i = 0; i + 1 < ys.size(); ++i) EXPECT_GE(ys[i + 1] - ys[i], 15) << i;
  EXPECT_EQ(ys.back(), 294) << "none falls off the plot";
}

// In the middle there is room: they go down from where the lines end.
TEST(LinePlaces, NamesInTheMiddleGoDownFromTheirLines) {
  LinePlot plot{"", "", "", false, {{"top", 0, {{0, 0}, {1, 4}}}, {"foot", 0, {{0, 4}, {1, 0}}}}};
  for (int i = 0; i < 3; ++i)
    plot.series.push_back({"line " + std::to_string(i), i, {{0, 4}, {1, 2}}});
  const std::string svg = line_plot(plot);
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(text_mark(svg, "line " + std::to_string(i)).number("y"), 164 + 15 * i);
  EXPECT_EQ(text_mark(svg, "top").number("y"), 34);
  EXPECT_EQ(text_mark(svg, "foot").number("y"), 294);
}

TEST(LinePlaces, OnePointIsAShortLineAndNoneIsNoLine) {
  LinePlot plot{"", "", "", false, {{"one", 1, {{3, 5}}}, {"none", 2, {{1, std::nan("")}}}}};
  const std::string svg = line_plot(plot);
  const auto one = marks(svg, "path", "c1 stroke");
  ASSERT_EQ(one.size(), 1u);
  const Path points = points_of(one[0]);
  ASSERT_EQ(points.size(), 2u);
  EXPECT_EQ(points[1].first - points[0].first, 4);
  EXPECT_EQ(svg.find("none"), std::string::npos);
}

// Steps 1 to 4 over 48..448, losses from 1 to 4 over 290..30.
TEST(CurvePlaces, AValueStandsAtItsStep) {
  CurvePlot plot;
  plot.values = {4, 3, 2, 1};
  const std::string svg = curve_plot(plot);
  const double third = 260.0 / 3;
  const Path line = {{148, 30}, {248, 30 + third}, {348, 30 + 2 * third}, {448, 290}};
  expect_path(svg, "c1 stroke", line);
  Path band = line;
  band.insert(band.end(), line.rbegin(), line.rend());
  expect_path(svg, "c1 tint", band);
}

// 1,000 values are 334 stretches of three; their mean runs over 13 of them.
TEST(CurvePlaces, ASpikeIsInTheBandAndSmallInTheMean) {
  CurvePlot plot;
  plot.values.assign(1000, 1.0f);
  plot.values[500] = 9;
  const std::string svg = curve_plot(plot);
  const Path band = points_of(marks(svg, "path", "c1 tint").at(0)),
             line = points_of(marks(svg, "path", "c1 stroke").at(0));
  ASSERT_EQ(band.size(), 2u * 334);
  ASSERT_EQ(line.size(), 334u);
  // Values of 1 to 9 on a scale from 0 to 10.
  const auto place = [](double value) { return 290 - 26 * value; };
  double top = 290, most = 290;
  for (const auto& [x, y] : band) top = std::min(top, y);
  for (const auto& [x, y] : line) most = std::min(most, y);
  EXPECT_NEAR(top, place(9), 0.051);
  EXPECT_NEAR(most, place((12 + (9 + 1 + 1) / 3.0) / 13), 0.051);
  EXPECT_NEAR(line.front().second, place(1), 0.051);
}

TEST(CurvePlaces, StepsWithoutANumberAreLeftOut) {
  CurvePlot plot;
  plot.values = {4, std::nanf(""), 2, 1};
  EXPECT_EQ(points_of(marks(curve_plot(plot), "path", "c1 stroke").at(0)).size(), 3u);
  plot.values.assign(3, std::nanf(""));
  EXPECT_EQ(curve_plot(plot).find("<svg"), std::string::npos);
}

TEST(CurvePlaces, LevelsThatAreCloseHaveTheirNamesApart) {
  CurvePlot plot;
  plot.values = {0, 10};
  plot.levels = {{5.2, "upper", 2}, {5, "lower", 0}, {std::nan(""), "unknown", 1}};
  const std::string svg = curve_plot(plot);
  const auto lower = marks(svg, "line", "c0 dash"), upper = marks(svg, "line", "c2 dash");
  ASSERT_EQ(lower.size(), 1u);
  ASSERT_EQ(upper.size(), 1u);
  EXPECT_EQ(lower[0].number("y1"), 160);
  EXPECT_NEAR(upper[0].number("y1"), 154.8, 0.051);
  EXPECT_EQ(text_mark(svg, "lower").number("y"), 153);
  EXPECT_EQ(text_mark(svg, "upper").number("y"), 153 - 19);
  EXPECT_EQ(svg.find("unknown"), std::string::npos);
}

// The first ceiling ends the slope of 40 operations at 25 operations a byte.
TEST(RooflinePlaces, TheRoofIsTheSlopeAndThenTheCeiling) {
  RooflinePlot plot;
  plot.ceilings = {{1000, "int8", 0}, {200, "f32", 1}};
  plot.bytes_per_second = 40;
  plot.points = {{2, 70, 0, "decode", "", 1}, {500, 800, 0, "prefill", "", 2}};
  const std::string svg = roofline_plot(plot);
  // Half decades around: 1 to 1,000 operations a byte, 10^1.5 to 10^3.5 a second.
  const auto x = [](double v) { return 68 + 380 * std::log10(v) / 3; };
  const auto y = [](double v) { return 290 - 260 * (std::log10(v) - 1.5) / 2; };
  expect_path(svg, "c0 stroke", {{x(1), y(40)}, {x(25), y(1000)}, {448, y(1000)}});
  expect_path(svg, "c1 stroke dashed", {{x(5), y(200)}, {448, y(200)}});
  const auto point = marks(svg, "circle", "c1 fill ring");
  ASSERT_EQ(point.size(), 1u);
  EXPECT_NEAR(point[0].number("cx"), x(2), 0.051);
  EXPECT_NEAR(point[0].number("cy"), y(70), 0.051);
}

HistogramPlot plot_of(std::vector<HistogramLayer> layers) {
  HistogramPlot plot;
  plot.layers = std::move(layers);
  return plot;
}

// 320 wide, from 88 up to 4. The top is 1.05 of the highest density, 0.75.
TEST(HistogramPlaces, ABinIsAsHighAsItsDensity) {
  const std::string svg = histogram_plot(plot_of({{{0, 2, {1, 3}}, 1, false}}));
  const double quarter = 88 - 84 * 0.25 / (0.75 * 1.05), most = 88 - 84 / 1.05;
  expect_path(svg, "c1 pale",
              {{0, 88}, {0, quarter}, {160, quarter}, {160, most}, {320, most}, {320, 88}});
}

TEST(HistogramPlaces, ASpikeIsCutAtTheTop) {
  const std::string svg = histogram_plot(plot_of({{{0, 4, {1, 1, 1, 100}}, 1, false}}));
  const Path found = points_of(marks(svg, "path", "c1 pale").at(0));
  ASSERT_EQ(found.size(), 10u);
  EXPECT_NEAR(found[1].second, 88 - 84 / 2.5, 0.051) << "2.5 times the usual density is shown";
  EXPECT_EQ(found[7].second, 4);
}

// The same values in bins of another width are as high; an outline leaves half of its height.
TEST(HistogramPlaces, UnlikeBinsCompareAndTheOutlineSetsTheScale) {
  const std::string svg = histogram_plot(
      plot_of({{{0, 2, {7, 7}}, 2, false}, {{0, 2, {1, 1, 1, 1, 1, 1, 1, 1}}, 0, true}}));
  const Path area = points_of(marks(svg, "path", "c2 pale").at(0)),
             line = points_of(marks(svg, "path", "c0 thin").at(0));
  EXPECT_NEAR(area[1].second, 88 - 84 / 1.5, 0.051);
  EXPECT_EQ(area[1].second, line[1].second);
}

TEST(HistogramPlaces, LayersShareTheirBounds) {
  const std::string svg =
      histogram_plot(plot_of({{{-1, 0, {1}}, 1, false}, {{0, 3, {1, 1, 1}}, 2, false}}));
  const Path left = points_of(marks(svg, "path", "c1 pale").at(0)),
             right = points_of(marks(svg, "path", "c2 pale").at(0));
  EXPECT_EQ(left.front().first, 0);
  EXPECT_EQ(left.back().first, 80);
  EXPECT_EQ(right.front().first, 80);
  EXPECT_EQ(right.back().first, 320);
  EXPECT_EQ(texts_of(svg), (std::vector<std::string>{"-1", "0", "1", "2", "3", ""}));
  EXPECT_EQ(text_mark(svg, "-1").attributes.at("text-anchor"), "start");
  EXPECT_EQ(text_mark(svg, "1").attributes.at("text-anchor"), "middle");
  EXPECT_EQ(text_mark(svg, "3").attributes.at("text-anchor"), "end");
}

TEST(HistogramPlaces, WhatCannotBeDrawnIsLeftOut) {
  const double infinity = std::numeric_limits<double>::infinity();
  const HistogramLayer none{{0, 1, {}}, 1, false}, endless{{0, infinity, {1}}, 2, false},
      upside{{1, 0, {1}}, 3, false};
  EXPECT_EQ(histogram_plot(plot_of({none, endless, upside})).find("<svg"), std::string::npos);
  const std::string svg = histogram_plot(plot_of({none, endless, {{0, 1, {0, 0}}, 4, false}}));
  EXPECT_EQ(marks(svg, "path", "c2 pale").size(), 0u);
  for (const auto& [x, y] : points_of(marks(svg, "path", "c4 pale").at(0))) EXPECT_EQ(y, 88);
}

TEST(BarPlaces, RowsFollowEachOtherFromTheTop) {
  BarChart chart;
  chart.rows = {{"one", {{1, "1", "", 1, false}, {2, "2", "", 1, true}}},
                {"two", {{4, "4", "", 2, false}}}};
  const std::string svg = bar_chart(chart);
  EXPECT_EQ(marks(svg)[0].attributes.at("viewBox"), "0 0 460 123") << "names 24, bars 18 and 3, 12";
  EXPECT_EQ(text_mark(svg, "one").number("y"), 16);
  EXPECT_EQ(marks(svg, "rect", "c1 fill").at(0).number("y"), 24);
  EXPECT_EQ(marks(svg, "rect", "c1 pale").at(0).number("y"), 45);
  EXPECT_EQ(text_mark(svg, "two").number("y"), 94);
  const Mark last = marks(svg, "rect", "c2 fill").at(0);
  EXPECT_EQ(last.number("y"), 102);
  EXPECT_NEAR(last.number("width"), 440.8, 0.051) << "what the longest number leaves";
}

TEST(BarPlaces, ABarOfNothingCanStillBeSeen) {
  BarChart chart;
  chart.rows = {{"none", {{0, "0", "", 1, false}}}, {"nan", {{std::nan(""), "n/a", "", 2, false}}}};
  const std::string svg = bar_chart(chart);
  EXPECT_EQ(marks(svg, "rect", "c1 fill").at(0).number("width"), 2);
  EXPECT_EQ(marks(svg, "rect", "c2 fill").at(0).number("width"), 2);
}

}  // namespace
}  // namespace nibble
