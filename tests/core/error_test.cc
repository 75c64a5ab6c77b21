// What errors say: where, what of, and nothing that steers a terminal.
#include "nibble/core/error.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "nibble/core/stop.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

TEST(Error, NamesFileAndPlaceInOrder) {
  const Error e = corrupt("is NaN").at("tensor \"w\"").in_file("a.bin");
  EXPECT_STREQ(e.what(), "a.bin: tensor \"w\": is NaN");
  EXPECT_EQ(e.exit_code(), kExitData);
  EXPECT_EQ(e.kind(), ErrorKind::corrupt);
}

TEST(Error, TheInnermostKnowsBest) {
  Error e = corrupt("bad").in_file("inner").at("offset 1");
  e.set_file("outer");
  EXPECT_STREQ(std::move(e).at("offset 2").what(), "inner: offset 1: bad");
}

TEST(Error, SystemErrorsHaveTheirExitCodes) {
  EXPECT_EQ(system_error(ENOENT, "f", "open").exit_code(), kExitNoInput);
  EXPECT_EQ(system_error(EACCES, "f", "open").exit_code(), kExitPermission);
  EXPECT_EQ(system_error(EROFS, "f", "create", true).exit_code(), kExitPermission);
  EXPECT_EQ(system_error(ENOENT, "f", "create", true).exit_code(), kExitCannotCreate);
  EXPECT_EQ(system_error(EIO, "f", "read").exit_code(), kExitIo);
  EXPECT_STREQ(system_error(ENOENT, "f", "open").what(),
               "f: cannot open: No such file or directory");
}

TEST(Error, AStopIs128AndItsSignal) {
  EXPECT_EQ(stopped_by(15).exit_code(), 143);
  EXPECT_STREQ(stopped_by(2).what(), "stopped by signal 2");
}

TEST(Printable, ShowsWhatCouldSteerATerminal) {
  EXPECT_EQ(printable("plain \xc3\xa9 \xe6\x96\x87"), "plain \xc3\xa9 \xe6\x96\x87");
  EXPECT_EQ(printable("a\x1b[31m\n\x7f"), "a\\x1b[31m\\x0a\\x7f");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "\\u{9b}31m")
      << "CSI as one character";
  EXPECT_EQ(printable("\xe2\x80\xae"
                      "abc"),
            "\\u{202e}abc")
      << "right-to-left override";
  EXPECT_EQ(printable("\xff\xc3"), "\\xff\\xc3") << "no UTF-8";
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a\\x00b");
}

// What was made safe once is not changed by doing it again.
TEST(Printable, IsIdempotent) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  all += "\xe2\x80\xae\xc2\x9b";
  const std::string once = printable(all, SIZE_MAX);
  EXPECT_EQ(printable(once, SIZE_MAX), once);
}

TEST(Printable, CutsBetweenCharacters) {
  EXPECT_EQ(printable("abcdef", 3), "abc...");
  EXPECT_EQ(printable("\xc3\xa9\xc3\xa9\xc3\xa9", 3), "\xc3\xa9\xc3\xa9...");
  EXPECT_EQ(in_quotes("a\"b"), "\"a\"b\"");
}

}  // namespace
}  // namespace nibble
