// Numbers at the places where their unit or their digits change.
#include "nibble/report/numbers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace nibble {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();

TEST(FormatBytes, ChangesUnitAtPowersOf1024) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1024), "1.00 KiB");
  EXPECT_EQ(format_bytes(34'202), "33.4 KiB");
  EXPECT_EQ(format_bytes(102'400), "100 KiB");
  EXPECT_EQ(format_bytes(1024 * 1024), "1.00 MiB");
  EXPECT_EQ(format_bytes(int64_t{3} << 40), "3.00 TiB");
  EXPECT_EQ(format_bytes(std::numeric_limits<int64_t>::max()), "8388608 TiB");
  EXPECT_EQ(format_bytes(-5), "-5 B");
}

// Three significant digits, by what the rounded number has.
TEST(FormatRate, HasThreeDigitsInEveryUnit) {
  EXPECT_EQ(format_rate(0), "0.00");
  EXPECT_EQ(format_rate(0.123), "0.12");
  EXPECT_EQ(format_rate(9.994), "9.99");
  EXPECT_EQ(format_rate(9.996), "10.0");
  EXPECT_EQ(format_rate(99.94), "99.9");
  EXPECT_EQ(format_rate(99.96), "100");
  EXPECT_EQ(format_rate(999.4), "999");
  EXPECT_EQ(format_rate(999.6), "1.00 k");
  EXPECT_EQ(format_rate(1.2345e9), "1.23 G");
  EXPECT_EQ(format_rate(-2500), "-2.50 k");
}

TEST(FormatSeconds, GoesFromNanosecondsToSeconds) {
  EXPECT_EQ(format_seconds(5e-10), "0.50 ns");
  EXPECT_EQ(format_seconds(42e-9), "42.0 ns");
  EXPECT_EQ(format_seconds(1e-6), "1.00 µs");
  EXPECT_EQ(format_seconds(0.9994), "999 ms");
  EXPECT_EQ(format_seconds(0.9996), "1.00 s");
  EXPECT_EQ(format_seconds(3600), "3600 s");
}

// A range is written in the unit and with the digits of what it is around.
TEST(FormatRange, KeepsTheUnitOfItsMiddle) {
  EXPECT_EQ(format_seconds_range(0.0123, 0.0009, 1.5), "12.3 ms (0.9-1500.0)");
  EXPECT_EQ(format_rate_range(9.99, 9.5, 10.25), "9.99 (9.50-10.25)");
  EXPECT_EQ(format_rate_range(1834, kNone, 2000), "1.83 k") << "no range that is not known";
  EXPECT_EQ(format_rate_range(1834, 1800, std::numeric_limits<double>::infinity()), "1.83 k");
  EXPECT_EQ(format_rate_range(kNone, 1, 2), "n/a");
}

TEST(FormatSignificant, RoundsBeforeItCountsDigits) {
  EXPECT_EQ(format_significant(99.6), "1.0e2");
  EXPECT_EQ(format_significant(99.4), "99");
  EXPECT_EQ(format_significant(-31), "-31");
  EXPECT_EQ(format_significant(100, 3), "100");
  EXPECT_EQ(format_significant(12'345, 3), "1.23e4");
  EXPECT_EQ(format_significant(0.000096), "9.6e-5");
  EXPECT_EQ(format_significant(0.0001), "0.00010");
  EXPECT_EQ(format_significant(-2.5e-310), "-2.5e-310");
  EXPECT_EQ(format_significant(7, 1), "7");
}

TEST(FormatFixed, ShowsNoSignOfNothingAndNoRowsOfDigits) {
  EXPECT_EQ(format_fixed(-0.004, 2), "0.00");
  EXPECT_EQ(format_fixed(-0.006, 2), "-0.01");
  EXPECT_EQ(format_fixed(999'999'999'999'999.0, 0), "999999999999999");
  EXPECT_EQ(format_fixed(1e15, 1), "1.0e+15");
  EXPECT_EQ(format_fixed(-1e300, 0), "-1e+300");
}

TEST(FormatSigned, HasASignExactlyWhereADigitIsNotZero) {
  EXPECT_EQ(format_signed(0.00005, 4), "+0.0001");
  EXPECT_EQ(format_signed(0.000049, 4), "0.0000");
  EXPECT_EQ(format_signed(12, 0), "+12");
  EXPECT_EQ(format_signed(0, 0), "0");
}

TEST(FormatPercent, IsAShareOfOne) {
  EXPECT_EQ(format_percent(1), "100.0%");
  EXPECT_EQ(format_percent(0.005, 0), "0%") << "half goes to the even digit, as printf has it";
  EXPECT_EQ(format_percent(2.71, 0), "271%");
  EXPECT_EQ(format_percent(-0.00001), "0.0%");
}

TEST(FormatCount, GroupsByThree) {
  EXPECT_EQ(format_count(1000), "1,000");
  EXPECT_EQ(format_count(999'999), "999,999");
  EXPECT_EQ(format_count(-1000), "-1,000");
  EXPECT_EQ(format_count(std::numeric_limits<int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(Ratio, IsOfPositiveNumbersOnly) {
  EXPECT_EQ(ratio(3, 4), 0.75);
  for (const auto& [a, b] : {std::pair(0.0, 1.0), std::pair(1.0, 0.0), std::pair(-1.0, 2.0),
                             std::pair(1.0, -2.0), std::pair(kNone, 1.0), std::pair(1.0, kNone)})
    EXPECT_TRUE(std::isnan(ratio(a, b))) << a << " / " << b;
}

}  // namespace
}  // namespace nibble
