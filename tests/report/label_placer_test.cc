// Where a name stands beside its point, and what it gives way to.
#include "nibble/report/label_placer.h"

#include <gtest/gtest.h>

#include "nibble/report/plot_frame.h"

namespace nibble {
namespace {

constexpr Box kPlot{0, 0, 460, 290};
constexpr double kLine = 5;  // from the middle of a line of text to its baseline

TEST(Box, OverlapIsTheAreaThatBothCover) {
  const Box box{0, 0, 10, 10};
  EXPECT_EQ(box.overlap({5, 6, 10, 10}), 20);
  EXPECT_EQ((Box{5, 6, 10, 10}.overlap(box)), 20);
  EXPECT_EQ(box.overlap({2, 3, 4, 5}), 20) << "within";
  EXPECT_EQ(box.overlap({10, 0, 5, 5}), 0) << "side by side";
  EXPECT_EQ(box.overlap({0, -5, 5, 5}), 0);
  EXPECT_EQ(box.overlap({20, 20, 5, 5}), 0) << "apart in both";
}

TEST(LabelPlacer, PrefersTheRight) {
  LabelPlacer placer(kPlot);
  const PlacedLabel at = placer.place(100, 100, "int8");
  EXPECT_EQ(at.x, 112);
  EXPECT_EQ(at.y, 100 + kLine);
  EXPECT_EQ(at.anchor, Anchor::start);
  EXPECT_FALSE(at.far);
}

TEST(LabelPlacer, GoesToTheLeftWhereTheRightIsTaken) {
  LabelPlacer placer(kPlot);
  placer.keep_clear({110, 90, 100, 20});
  const PlacedLabel at = placer.place(100, 100, "int8");
  EXPECT_EQ(at.x, 88);
  EXPECT_EQ(at.anchor, Anchor::end);
}

TEST(LabelPlacer, DoesNotLeaveThePlot) {
  LabelPlacer right(kPlot);
  EXPECT_EQ(right.place(440, 100, "int8").anchor, Anchor::end) << "36.8 wide, 8 are left";
  LabelPlacer corner(kPlot);
  // Neither side of the point holds the name; the only way is down and to the right.
  const PlacedLabel at = corner.place(5, 3, "int8");
  EXPECT_EQ(at.anchor, Anchor::start);
  EXPECT_GT(at.y - kLine - kPlotLine / 2, 0);
}

// The width is that of the characters as a terminal counts them.
TEST(LabelPlacer, WideCharactersTakeTwoPlaces) {
  LabelPlacer narrow({0, 0, 460, 290}), wide({0, 0, 460, 290});
  const double x = 460 - 12 - 4 * kPlotCharacter - 1;
  EXPECT_EQ(narrow.place(x, 100, "abcd").anchor, Anchor::start);
  EXPECT_EQ(wide.place(x, 100, "日本語文").anchor, Anchor::end);
}

TEST(LabelPlacer, GoesFurtherAwayBeforeItCoversAnything) {
  LabelPlacer placer(kPlot);
  placer.keep_clear({100 - 25, 100 - 25, 50, 50});
  const PlacedLabel at = placer.place(100, 100, "int8");
  EXPECT_TRUE(at.far) << "a line joins it with its point";
  EXPECT_EQ(at.x, 126) << "the next distance, to the right";
  EXPECT_EQ(at.y, 100 + kLine);
}

TEST(LabelPlacer, CoversTheLeastWhereEverythingIsTaken) {
  LabelPlacer placer(kPlot);
  placer.keep_clear({-500, -500, 2000, 2000});
  placer.keep_clear({100, 0, 2000, 2000});  // the right half twice
  const PlacedLabel at = placer.place(100, 100, "int8");
  EXPECT_EQ(at.anchor, Anchor::end);
  EXPECT_EQ(at.x, 88);
}

}  // namespace
}  // namespace nibble
