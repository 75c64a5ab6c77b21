// No figure that its own spread does not carry.
#include "nibble/report/speed_text.h"

#include <gtest/gtest.h>

#include "nibble/report/numbers.h"
#include "nibble/report/sections.h"
#include "tests/report/invented_report.h"
#include "tests/report/markup.h"

namespace nibble {
namespace {

using testing::invented_models;
using testing::time_against;

Speedup between(double low, double median, double high) { return {9, median, Interval{low, high}}; }

bool has_text(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

TEST(SpeedText, GivesAFigureWhereTheRoundsAgree) {
  EXPECT_EQ(format_speedup(between(1.65, 1.71, 1.8), "x"), "1.71x");
  EXPECT_EQ(format_speedup_and_interval(between(1.65, 1.71, 1.8), "x"), "1.71x (1.65-1.80)");
  EXPECT_EQ(format_speedup(between(0.99, 1.0, 1.02), "×"), "1.00×");
  EXPECT_EQ(format_speedup(between(58, 60.2, 66), "x"), "60.2x");
  EXPECT_EQ(describe_speed(between(1.65, 1.71, 1.8), "x"), "1.71x as fast (1.65x to 1.80x)");
  EXPECT_EQ(describe_speed(between(0.99, 1.0, 1.02), "x"), "as fast (0.99x to 1.02x)");
  EXPECT_EQ(describe_speed(between(0.81, 0.86, 0.9), "×"), "0.86× as fast (0.81× to 0.90×)");
}

TEST(SpeedText, GivesARangeWhereTheyDoNot) {
  EXPECT_EQ(format_speedup(between(20, 41, 66), "x"), "20.0-66.0x");
  EXPECT_EQ(format_speedup_and_interval(between(20, 41, 66), "x"), "20.0-66.0x");
  EXPECT_EQ(format_interval(between(20, 41, 66)), "");
  EXPECT_EQ(format_interval(between(1.65, 1.71, 1.8)), "1.65-1.80");
  EXPECT_EQ(describe_speed(between(20, 41, 66), "x"), "between 20.0x and 66.0x as fast");
  EXPECT_EQ(describe_speed(between(0.02, 0.5, 0.7), "x"), "between 0.02x and 0.70x as fast");
}

TEST(SpeedText, ClaimsNothingWithinTheNoise) {
  EXPECT_EQ(format_speedup(between(0.8, 1.2, 1.4), "x"), "0.80-1.40x");
  EXPECT_EQ(describe_speed(between(0.8, 1.2, 1.4), "x"),
            "as fast, within the noise: 0.80x to 1.40x");
  // Close together, but not away from 1: no figure either.
  EXPECT_EQ(format_speedup(between(1.01, 1.06, 1.1), "x"), "1.01-1.10x");
}

TEST(SpeedText, ClaimsNothingOfTooFewRounds) {
  const Speedup few{3, 66, {}};
  EXPECT_EQ(format_speedup(few, "x"), "-");
  EXPECT_EQ(describe_speed(few, "x"), "timed in too few rounds to compare its speed (3 of 6)");
  EXPECT_EQ(format_speedup({}, "x"), "-");
  EXPECT_EQ(describe_speed({}, "x"), "");
}

TEST(SpeedText, ShowsQuartilesInTheUnitOfTheMedian) {
  EXPECT_EQ(format_rate_and_spread(1834, Latency{{1 / 1790.0, 1 / 1834.0, 1 / 1850.0}}),
            "1.83 k (1.81-1.84)");
  EXPECT_EQ(format_rate_range(980, 900, 1100), "980 (900-1100)");
  EXPECT_EQ(format_seconds_range(0.0123, 0.0119, 0.0999), "12.3 ms (11.9-99.9)");
  EXPECT_EQ(format_seconds_and_spread(Latency{{2, 2, 3, 3, 3}}), "3.00 s (2.00-3.00)");
}

TEST(Busy, IsAMachineThatKeepsThreadsWaitingOrTimesApart) {
  auto models = invented_models();
  EXPECT_FALSE(busy(models));
  EXPECT_EQ(busy_words(models), "");
  models[3].waited_share = 0.31;
  EXPECT_TRUE(busy(models));
  EXPECT_EQ(busy_words(models),
            "The machine was busy: speeds are lower bounds (no processor for 31% of the time).");
  models[3].waited_share = 0;
  models[2].latency.seconds = {1, 1, 1, 2, 2};
  EXPECT_EQ(busy_words(models),
            "The machine was busy: speeds are lower bounds (times 100% apart).");
}

TEST(Busy, IsSaidOnceOnThePageAndInTheTerminal) {
  DemoResult r = testing::invented_report();
  const std::string_view words = "The machine was busy";
  EXPECT_FALSE(has_text(render_html(r), words));
  for (Measurement& m : r.models) m.waited_share = 0.4;
  for (const std::string& text : {render_html(r), render_table(r.models)}) {
    const size_t at = text.find(words);
    ASSERT_NE(at, std::string::npos);
    EXPECT_EQ(text.find(words, at + 1), std::string::npos);
  }
}

TEST(SpeedTable, HasMediansQuartilesAndRatios) {
  const std::string text = render_speeds(invented_models(), 100);
  EXPECT_TRUE(has_text(text, "tokens/s")) << text;
  EXPECT_TRUE(has_text(text, "x f32")) << text;
  EXPECT_TRUE(has_text(text, "812 k (808-816)  0.85x (0.85-0.85)")) << text;
  EXPECT_TRUE(has_text(text, "Medians of 20 rounds or more")) << text;
  EXPECT_EQ(render_speeds({}, 100), "");
  EXPECT_EQ(render_speeds({Measurement{}}, 100), "");
}

// Issue: "66x as fast" stood in the headline of a machine that was busy for one of the two.
TEST(Lede, DoesNotHeadlineWhatTheTimesDoNotCarry) {
  auto models = invented_models();
  time_against(models[2], 66e3, 1e3, 0.9);
  EXPECT_FALSE(has_text(lede(models), "66.0×")) << lede(models);
  EXPECT_TRUE(has_text(lede(models), "<strong>between ")) << lede(models);
  EXPECT_FALSE(has_text(tiles(models), ">66.0×<")) << tiles(models);
  time_against(models[2], 66e3, 1e3, 0.02);
  EXPECT_TRUE(has_text(lede(models), "<strong>66.0× as fast (")) << lede(models);
  EXPECT_TRUE(has_text(tiles(models), ">66.0×<")) << tiles(models);
}

TEST(Lede, SaysWhereNoDifferenceCouldBeMeasured) {
  auto models = invented_models();
  for (size_t i = 1; i < models.size(); ++i) time_against(models[i], 955e3, 955e3, 0.5);
  EXPECT_TRUE(has_text(lede(models), "no difference in speed could be measured")) << lede(models);
  EXPECT_TRUE(has_text(speed_words(models), "No difference in speed between")) << lede(models);
  EXPECT_FALSE(has_text(lede(models), "not faster"));
  EXPECT_EQ(testing::markup_fault(speed_words(models)), "");
}

TEST(Lede, SaysNothingOfSpeedAfterTooFewRounds) {
  auto models = invented_models();
  for (Measurement& m : models) {
    m.latency.seconds.resize(5);
    m.base_latency.seconds.resize(std::min<size_t>(m.base_latency.seconds.size(), 5));
  }
  EXPECT_FALSE(has_text(lede(models), "fast")) << lede(models);
  EXPECT_FALSE(has_text(tiles(models), "Speed")) << tiles(models);
  EXPECT_TRUE(has_text(speed_words(models), "too few rounds")) << speed_words(models);
}

}  // namespace
}  // namespace nibble
