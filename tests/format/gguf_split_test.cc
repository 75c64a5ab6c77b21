// GGUF files that lie in parts (BAD_INPUTS G20).
#include <gtest/gtest.h>

#include "nibble/format/gguf_file.h"
#include "tests/support/expect_error.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;
using test::GgufBytes;
using test::little;

// Part `no` of 3, one tensor in each; only the first says what the model is.
GgufBytes part(uint16_t no, uint16_t count = 3) {
  GgufBytes out;
  if (no == 0) out.string("general.architecture", "llama");
  out.raw("split.no", 2, little(no)).raw("split.count", 2, little(count));
  out.raw("split.tensors.count", 5, little(int32_t{3}));
  const auto value = static_cast<float>(no);
  out.f32_tensor("t" + std::to_string(no), {2}, {value, value});
  return out;
}

class GgufParts : public testing::Test {
 protected:
  GgufParts() {
    for (uint16_t no = 0; no < 3; ++no) put(no, part(no).bytes());
  }
  std::string name(int no) const {
    return folder_ / ("m-0000" + std::to_string(no + 1) + "-of-00003.gguf");
  }
  void put(int no, const std::string& bytes) { test::put_file(name(no), bytes); }
  void refuses(const test::ExpectedKind& kind, const std::string& words) {
    for (int no = 0; no < 3; ++no) {
      if (!std::filesystem::exists(name(no))) continue;
      expect_error(kind, words, [&] { GgufFile::open(name(no)).require_data(); });
    }
  }
  test::TempFolder folder_;
};

TEST_F(GgufParts, AnyOfThemOpensAll) {
  for (int no = 0; no < 3; ++no) {
    const GgufFile file = GgufFile::open(name(no));
    EXPECT_EQ(file.parts(), 3u);
    EXPECT_EQ(file.metadata().string("general.architecture"), "llama");
    EXPECT_EQ(file.file_bytes(),
              static_cast<int64_t>(3 * part(1).bytes().size() + part(0).bytes().size() -
                                   part(1).bytes().size()));
    file.require_data();
    for (int t = 0; t < 3; ++t) {
      EXPECT_EQ(gguf_weight(file.require("t" + std::to_string(t)), {0, 2}).values(),
                std::vector<float>(2, static_cast<float>(t)));
    }
  }
}

TEST_F(GgufParts, OneThatIsMissingIsNamed) {
  for (int no = 0; no < 3; ++no) {
    std::filesystem::remove(name(no));
    refuses(ErrorKind::not_found,
            name(no) + ": part " + std::to_string(no + 1) + " of 3 is missing");
    put(no, part(static_cast<uint16_t>(no)).bytes());
  }
}

TEST_F(GgufParts, OneThatIsCutIsNamed) {
  const std::string whole = part(1).bytes();
  put(1, whole.substr(0, whole.size() - 3));
  refuses(ErrorKind::corrupt, name(1) + ": tensor \"t1\": data [");
  put(1, "");
  refuses(ErrorKind::corrupt, name(1) + ": offset 0");
}

TEST_F(GgufParts, CountsThatDoNotAgree) {
  put(2, part(2, 4).bytes());
  refuses(ErrorKind::corrupt, name(2) + ": key \"split.count\": is another in the first part");
  put(2, part(2).bytes());
  put(0, part(0, 4).bytes());
  refuses(ErrorKind::corrupt, name(0) + ": key \"split.count\": is 4");
  for (const int32_t count : {-1, 1 << 30}) {
    put(0, part(0).set("split.count", 5, little(count)).bytes());
    refuses(ErrorKind::corrupt, name(0) + ": key \"split.count\": must be between");
  }
  put(0, part(0).set("split.tensors.count", 5, little(int32_t{4})).bytes());
  refuses(ErrorKind::corrupt, "key \"split.tensors.count\": says 4 tensors, the parts hold 3");
}

TEST_F(GgufParts, PartsInTheWrongPlace) {
  put(1, part(2).bytes());
  refuses(ErrorKind::corrupt, name(1) + ": key \"split.no\": says part 3 of a set");
  put(1, part(1).bytes());
  put(0, part(1).bytes());
  refuses(ErrorKind::corrupt, name(0) + ": key \"split.no\"");
}

TEST_F(GgufParts, PartsOfAnotherModel) {
  put(1, part(1).f32_tensor("t0", {2}, {1, 2}).bytes());
  refuses(ErrorKind::corrupt, name(1) + ": tensor \"t0\": stands in two parts");
  GgufBytes alone;
  alone.string("general.architecture", "llama").f32_tensor("t1", {2}, {1, 2});
  put(1, alone.bytes());
  refuses(ErrorKind::corrupt, name(1) + ": key \"split.no\"");
}

// The first part of no set does not stand for the one that was asked for.
TEST_F(GgufParts, APartIsNotOpenedThroughAModelOfItsOwn) {
  GgufBytes alone;
  alone.string("general.architecture", "llama").f32_tensor("x", {2}, {1, 2});
  put(0, alone.bytes());
  EXPECT_EQ(GgufFile::open(name(0)).parts(), 1u);
  for (const int no : {1, 2})
    expect_error(ErrorKind::corrupt, name(0) + ": key \"split.count\"",
                 [&] { GgufFile::open(name(no)); });
}

TEST_F(GgufParts, UnderOtherNamesTheyAreNotFound) {
  const std::string other = folder_ / "m.gguf";
  test::put_file(other, part(0).bytes());
  expect_error(ErrorKind::corrupt, other + ": key \"split.count\": is 3: the parts of a set",
               [&] { GgufFile::open(other); });
  // One behind the other they are no set.
  test::put_file(other, part(0).bytes() + part(1).bytes() + part(2).bytes());
  expect_error(ErrorKind::corrupt, "-00001-of-00003.gguf", [&] { GgufFile::open(other); });
  const std::string wrong = folder_ / "m-00001-of-00002.gguf";
  test::put_file(wrong, part(0).bytes());
  expect_error(ErrorKind::corrupt, "key \"split.count\": is 3", [&] { GgufFile::open(wrong); });
}

}  // namespace
}  // namespace nibble
