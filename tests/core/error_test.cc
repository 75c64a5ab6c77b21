// What errors say: where, what of, and nothing that steers a terminal.
#include "nibble/core/error.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "nibble/core/in_file.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

TEST(Error, NamesFileAndPlaceInOrder) {
  const Error e = corrupt("is NaN").at("tensor \"w\"").in_file("a.bin");
  EXPECT_STREQ(e.what(), "a.bin: tensor \"w\": is NaN");
  EXPECT_EQ(e.kind(), ErrorKind::corrupt);
}

TEST(Error, TheInnermostKnowsBest) {
  Error e = corrupt("bad").in_file("inner").at("offset 1");
  e.set_file("outer");
  EXPECT_STREQ(std::move(e).at("offset 2").what(), "inner: offset 1: bad");
}

TEST(Error, SystemErrorsSayWhatKeptThemFromBeingDone) {
  const auto of = [](int number, Access access) {
    const Error e = system_error(number, "f", "open", access);
    return std::pair(e.kind(), e.cause());
  };
  const auto io = [](IoCause cause) { return std::pair(ErrorKind::io, cause); };
  for (const int missing : {ENOENT, ENOTDIR, EISDIR, ELOOP}) {
    EXPECT_EQ(of(missing, Access::read), std::pair(ErrorKind::not_found, IoCause::other));
    EXPECT_EQ(of(missing, Access::write), io(IoCause::other));
    EXPECT_EQ(of(missing, Access::create), io(IoCause::cannot_create));
  }
  for (const Access access : {Access::read, Access::write, Access::create}) {
    for (const int denied : {EACCES, EPERM, EROFS})
      EXPECT_EQ(of(denied, access), io(IoCause::permission));
  }
  EXPECT_EQ(of(EIO, Access::read), io(IoCause::other));
  EXPECT_EQ(of(ENOSPC, Access::create), io(IoCause::cannot_create));
  EXPECT_STREQ(system_error(ENOENT, "f", "open").what(),
               "f: cannot open: No such file or directory");
}

TEST(Error, AStopNamesItsSignal) {
  EXPECT_EQ(cancelled(15).kind(), ErrorKind::cancelled);
  EXPECT_EQ(cancelled(15).signal(), 15);
  EXPECT_STREQ(cancelled(2).what(), "stopped by signal 2");
  EXPECT_EQ(corrupt("bad").signal(), 0);
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

TEST(Error, KindsHaveTheirNames) {
  const auto name = [](const Error& e) { return to_string(e.kind()); };
  EXPECT_EQ(name(invalid_argument("")), "invalid_argument");
  EXPECT_EQ(name(not_found("")), "not_found");
  EXPECT_EQ(name(corrupt("")), "corrupt");
  EXPECT_EQ(name(unsupported("")), "unsupported");
  EXPECT_EQ(name(io_error("")), "io");
  EXPECT_EQ(name(cannot_create("")), "io");
  EXPECT_EQ(name(cancelled(2)), "cancelled");
  EXPECT_EQ(name(out_of_memory("")), "out_of_memory");
}

TEST(Error, AFileIsNamedFromOutside) {
  EXPECT_EQ(naming_file("f", [] { return 7; }), 7);
  try {
    naming_file("f", [] { throw corrupt("x"); });
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.file(), "f");
  }
  try {
    naming_file("outer", [] { naming_file("inner", [] { throw corrupt("x"); }); });
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.file(), "inner");
  }
}

TEST(Error, ABrokenPromiseIsNoError) {
  EXPECT_NO_THROW(NIBBLE_CHECK(1 + 1 == 2));
  EXPECT_THROW(NIBBLE_CHECK(1 + 1 == 3), std::logic_error);
  try {
    NIBBLE_CHECK(1 > 2);
  } catch (const std::logic_error& e) {
    const std::string text = e.what();
    EXPECT_NE(text.find("1 > 2"), std::string::npos) << text;
    // Where it stands in the repository, not on the machine that compiled it.
    const size_t file = text.find("tests/core/error_test.cc");
    ASSERT_NE(file, std::string::npos) << text;
    EXPECT_TRUE(file == 0 || text[file - 1] != '/') << text;
  }
}

TEST(Printable, ShowsBytesThatAreNoText) {
  EXPECT_EQ(printable("a\xFFz"), "a\\xffz");
  EXPECT_EQ(printable("\xC0\xAF"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(printable("\xED\xA0\x80"), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(printable("\xE2\x82"), "\\xe2\\x82");           // cut
}

TEST(Printable, CutsWhatIsLong) {
  const std::string whole(120, 'x');
  EXPECT_EQ(printable(whole), whole);
  EXPECT_EQ(printable(whole + "x"), whole + "...");
  EXPECT_EQ(printable("abcdef", 3), "abc...");
  // Never in the middle of a character.
  EXPECT_EQ(printable("ab\xE2\x82\xAC\xE2\x82\xAC", 3), "ab\xE2\x82\xAC...");
}

// Whatever comes in, one line of valid text comes out, of bounded length.
TEST(Printable, OfAnyBytesIsOneLine) {
  uint32_t state = 1;
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (int i = 0; i < 200; ++i) {
      state = state * 1664525 + 1013904223;
      text += static_cast<char>(state >> 24);
    }
    const std::string shown = printable(text, 100);
    EXPECT_LE(shown.size(), 100 + 8 + 3u);
    for (const char c : shown) EXPECT_TRUE(static_cast<unsigned char>(c) >= 0x20) << shown;
    EXPECT_EQ(printable(shown, 1000), shown);
  }
}

}  // namespace
}  // namespace nibble
