#include "nibble/report/plots.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "nibble/report/label_placer.h"
#include "nibble/report/plot_frame.h"
#include "nibble/report/scale.h"
#include "tests/report/markup.h"

namespace nibble {
namespace {

TEST(Scale, MapsItsEndsAndItsMiddle) {
  const Scale linear{0, 10, 100, 200, false};
  EXPECT_DOUBLE_EQ(linear.place(0), 100);
  EXPECT_DOUBLE_EQ(linear.place(5), 150);
  EXPECT_DOUBLE_EQ(linear.place(99), 200);
  const Scale log{0.01, 100, 200, 0, true};
  EXPECT_DOUBLE_EQ(log.place(1), 100);
  EXPECT_DOUBLE_EQ(log.place(0), 200);
  EXPECT_DOUBLE_EQ(log.place(std::nan("")), 200);
}

TEST(Scale, CoversItsValuesWithRoundBounds) {
  const Scale s = scale_over({1.93, 3.31}, 0, 1, false, false);
  EXPECT_LE(s.low, 1.93);
  EXPECT_GE(s.high, 3.31);
  EXPECT_NEAR(s.low, 1.8, 1e-9);
  const Scale log = scale_over({3e-5, 0.4, -1, 0}, 0, 1, true, false);
  EXPECT_LE(log.low, 3e-5);
  EXPECT_GE(log.high, 0.4);
  EXPECT_GT(log.low, 1e-7);
}

TEST(Scale, HasSomeTicksForAnyValues) {
  const std::vector<std::vector<double>> cases = {
      {}, {0}, {5, 5}, {-3, 7}, {1e-9, 2e-9}, {1e12, 3e12}, {std::nan("")}, {0.1, 0.1000001}};
  for (const auto& values : cases) {
    for (const bool log : {false, true}) {
      const Scale s = scale_over(values, 0, 1, log, false);
      EXPECT_LT(s.low, s.high);
      const auto ticks = s.ticks(5);
      EXPECT_GE(ticks.size(), 1u);
      EXPECT_LE(ticks.size(), 20u);
      std::set<std::string> labels;
      for (const Tick& t : ticks) labels.insert(t.label);
      const bool too_close_to_label = values.size() == 2 && values[1] == 0.1000001;
      if (!too_close_to_label) {
        EXPECT_EQ(labels.size(), ticks.size());
      }
    }
  }
}

TEST(LabelPlacer, KeepsLabelsApart) {
  LabelPlacer placer({0, 0, 460, 290});
  std::vector<Box> boxes;
  for (int i = 0; i < 6; ++i) {
    const PlacedLabel at = placer.place(230, 100 + 6 * i, "int4 g16 asym");
    const double width = 13 * kPlotCharacter;
    const double left = at.anchor == Anchor::start ? at.x
                        : at.anchor == Anchor::end ? at.x - width
                                                   : at.x - width / 2;
    const Box box{left, at.y - 5 - kPlotLine / 2, width, kPlotLine};
    for (const Box& other : boxes) EXPECT_EQ(box.overlap(other), 0) << i;
    boxes.push_back(box);
  }
}

TEST(Plots, SayWhenThereIsNothing) {
  for (const std::string& plot :
       {scatter_plot({}), curve_plot({}), bar_chart({}), histogram_plot({})}) {
    EXPECT_NE(plot.find("<p class=\"empty\">"), std::string::npos);
    EXPECT_EQ(plot.find("<svg"), std::string::npos);
  }
}

TEST(Plots, DrawAMarkForEveryPointThatHasAPlace) {
  ScatterPlot plot;
  plot.log_y = true;
  plot.points = {{1, 0.1, 0, "a", "", 1},
                 {2, 0, 0, "zero", "", 1},
                 {3, std::nan(""), 0, "nan", "", 1},
                 {4, 10, 0, "b", "", 1}};
  const std::string svg = scatter_plot(plot);
  EXPECT_EQ(testing::markup_fault(svg), "");
  EXPECT_NE(svg.find(">a</text>"), std::string::npos);
  EXPECT_NE(svg.find(">b</text>"), std::string::npos);
  EXPECT_EQ(svg.find("zero"), std::string::npos);
}

TEST(Plots, ARooflineHasItsLimitsAndItsPoints) {
  RooflinePlot plot;
  plot.ceilings = {{1000, "int8 1,000 G/s", 0}, {200, "f32 200 G/s", 0}};
  plot.bytes_per_second = 40;
  plot.points = {
      {2, 70, 0, "decode", "", 1}, {500, 800, 0, "prefill", "", 1}, {3, 0, 0, "nothing", "", 1}};
  const std::string svg = roofline_plot(plot);
  EXPECT_EQ(testing::markup_fault(svg), "");
  for (const char* text : {">decode<", ">prefill<", ">int8 1,000 G/s<", ">f32 200 G/s<"})
    EXPECT_NE(svg.find(text), std::string::npos) << text;
  EXPECT_EQ(svg.find("nothing"), std::string::npos);
  plot.bytes_per_second = std::nan("");
  EXPECT_EQ(roofline_plot(plot).find("<svg"), std::string::npos);
}

TEST(Plots, ALongCurveStaysSmall) {
  CurvePlot plot;
  plot.values.resize(1'000'000, 2.0f);
  plot.values[500'000] = 3;
  plot.values[7] = std::nanf("");
  const std::string svg = curve_plot(plot);
  EXPECT_EQ(testing::markup_fault(svg), "");
  EXPECT_LT(svg.size(), 40'000u);
}

TEST(Plots, ABarIsAsLongAsItsShare) {
  BarChart chart;
  chart.rows = {{"whole", {{4, "4", "", 0, false}}}, {"half", {{2, "2", "", 0, false}}}};
  const std::string svg = bar_chart(chart);
  // Two tracks of full length, a bar of full length, a bar of half: the room left is 460 - (9.2 +
  // 10).
  EXPECT_NE(svg.find("width=\"440.8\" height=\"18\" rx=\"3\" class=\"c0 fill\""), std::string::npos)
      << svg;
  EXPECT_NE(svg.find("width=\"220.4\" height=\"18\" rx=\"3\" class=\"c0 fill\""), std::string::npos)
      << svg;
}

TEST(Plots, AWhiskerLiesBetweenItsEnds) {
  BarChart chart;
  chart.rows = {{"one", {{2, "2", "", 0, false, 1, 4}}}};
  const std::string svg = bar_chart(chart);
  // The scale goes to the whisker's end, 440.8 wide as above.
  EXPECT_NE(svg.find("width=\"220.4\" height=\"18\" rx=\"3\" class=\"c0 fill\""), std::string::npos)
      << svg;
  EXPECT_NE(svg.find("x1=\"110.2\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("x2=\"440.8\""), std::string::npos) << svg;
  chart.rows[0].bars[0].high = std::nan("");
  EXPECT_EQ(bar_chart(chart).find("whisker"), std::string::npos);
}

TEST(Plots, ABarBeyondTheLimitIsBroken) {
  BarChart chart;
  chart.limit = 2;
  chart.rows = {{"far", {{80, "80", "", 0, false}}}, {"half", {{1, "1", "", 0, false}}}};
  const std::string svg = bar_chart(chart);
  EXPECT_NE(svg.find("class=\"gap\""), std::string::npos);
  EXPECT_EQ(svg.find("class=\"gap\"", svg.find("class=\"gap\"") + 1), std::string::npos);
  EXPECT_NE(svg.find("width=\"215.8\" height=\"18\" rx=\"3\" class=\"c0 fill\""), std::string::npos)
      << svg;
  chart.limit = 0;
  EXPECT_EQ(bar_chart(chart).find("class=\"gap\""), std::string::npos);
}

}  // namespace
}  // namespace nibble
