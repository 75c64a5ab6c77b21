#include "nibble/report/text.h"

#include <gtest/gtest.h>

#include "nibble/report/numbers.h"

namespace nibble {
namespace {

TEST(DisplayText, ShowsWhatCouldSteer) {
  EXPECT_EQ(display_text("plain, żółć, 日本"), "plain, żółć, 日本");
  EXPECT_EQ(display_text("a\x1b[31mb\n"), "a\\x1b[31mb\\x0a");
  EXPECT_EQ(display_text("\xff"), "\\xff");
  EXPECT_EQ(display_text("\u009b31m"), "\\u{9b}31m");  // C1 control sequence introducer
  EXPECT_EQ(display_text("a\u202eb"), "a\\u{202e}b");  // right-to-left override
  EXPECT_EQ(display_text(std::string_view("\0", 1)), "\\x00");
  EXPECT_EQ(display_text(display_text("\x1b\u009b\xff")), display_text("\x1b\u009b\xff"));
}

TEST(DisplayWidth, CountsColumns) {
  EXPECT_EQ(display_width(""), 0);
  EXPECT_EQ(display_width("abc"), 3);
  EXPECT_EQ(display_width("é"), 1);
  EXPECT_EQ(display_width("e\u0301"), 1);
  EXPECT_EQ(display_width("日本"), 4);
  EXPECT_EQ(display_width("😀"), 2);
}

TEST(CutToWidth, KeepsCharactersWhole) {
  EXPECT_EQ(cut_to_width("abc", 3), "abc");
  EXPECT_EQ(cut_to_width("abcd", 3), "ab~");
  EXPECT_EQ(cut_to_width("日本語", 5), "日本~");
  EXPECT_EQ(cut_to_width("日本語", 4), "日~");
  EXPECT_EQ(cut_to_width("abc", 0), "");
}

TEST(WrapToWidth, BreaksBetweenWords) {
  EXPECT_EQ(wrap_to_width("one two three", 7), "one two\nthree\n");
  EXPECT_EQ(wrap_to_width("one two three", 13), "one two three\n");
  EXPECT_EQ(wrap_to_width("日本 語", 4), "日本\n語\n");
  EXPECT_EQ(wrap_to_width("a longest b", 4), "a\nlon~\nb\n");
  EXPECT_EQ(wrap_to_width("", 4), "");
}

TEST(CommonPrefix, EndsBetweenCharacters) {
  EXPECT_EQ(common_prefix("kamon", "kamil"), 3u);
  EXPECT_EQ(common_prefix("", "a"), 0u);
  EXPECT_EQ(common_prefix("ann", "anna"), 3u);
  EXPECT_EQ(common_prefix("xé", "xè"), 1u);  // differ in the second byte of a character
}

TEST(Numbers, AreWrittenForPeople) {
  EXPECT_EQ(format_signed(0.00041, 4), "+0.0004");
  EXPECT_EQ(format_signed(-0.00041, 4), "-0.0004");
  EXPECT_EQ(format_signed(-0.00001, 4), "0.0000");
  EXPECT_EQ(format_signed(0.00001, 4), "0.0000");
  EXPECT_EQ(format_fixed(-0.0, 1), "0.0");
  EXPECT_EQ(format_significant(1.02), "1.0");
  EXPECT_EQ(format_significant(31), "31");
  EXPECT_EQ(format_significant(0.00012), "0.00012");
  EXPECT_EQ(format_significant(3.4e-7), "3.4e-7");
  EXPECT_EQ(format_significant(0), "0");
  EXPECT_EQ(format_count(0), "0");
  EXPECT_EQ(format_count(999), "999");
  EXPECT_EQ(format_count(-1234567), "-1,234,567");
  EXPECT_EQ(format_count(-123), "-123");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes(int64_t{5} << 30), "5.00 GiB");
  EXPECT_EQ(format_bytes(1024 * 1024 - 1), "1.00 MiB");
  EXPECT_EQ(format_percent(0.99123, 2), "99.12%");
  EXPECT_EQ(format_rate(811632), "812 k");
  EXPECT_EQ(format_rate(999960), "1.00 M");
  EXPECT_EQ(format_seconds(0.0123), "12.3 ms");
}

TEST(Numbers, ThatAreNoneSaySo) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity()}) {
    EXPECT_EQ(format_fixed(bad, 2), "n/a");
    EXPECT_EQ(format_signed(bad, 2), "n/a");
    EXPECT_EQ(format_significant(bad), "n/a");
    EXPECT_EQ(format_percent(bad), "n/a");
    EXPECT_EQ(format_rate(bad), "n/a");
    EXPECT_EQ(format_seconds(bad), "n/a");
  }
  EXPECT_EQ(format_fixed(ratio(1, 0), 1), "n/a");
  EXPECT_EQ(format_fixed(ratio(0, 1), 1), "n/a");
}

}  // namespace
}  // namespace nibble
