// Bad GGUF files through the command: rows G of the catalogue of bad inputs. Each must end by
// itself with code 65 (66 where a part is missing) and one line that names the file, and leave
// nothing behind. The readers' own tests have every row.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/cli/cli_test.h"
#include "tests/support/gguf_bytes.h"

namespace nibble::test {
namespace {

GgufBytes small_file() {
  GgufBytes out;
  out.string("general.architecture", "llama").u32("llama.block_count", 1);
  out.f32_tensor("token_embd.weight", {2, 3}, {1, 2, 3, 4, 5, 6});
  return out;
}

class BadGguf : public ::testing::Test {
 protected:
  void is_rejected(const std::string& bytes, const std::string& words, int code = 65) {
    SCOPED_TRACE(words);
    put_file(path_, bytes);
    const auto before = contents(folder_.path());
    for (const std::vector<std::string>& verb :
         {std::vector<std::string>{"eval", path_},
          {"inspect", path_},
          {"generate", path_},
          {"quantize", path_, "-o", folder_ / "out", "--scheme", "int8"}}) {
      const CommandResult r = run_nibble(verb);
      expect_rejected(r, code, words);
      EXPECT_NE(r.err.find(path_), std::string::npos) << r.err;
      EXPECT_EQ(contents(folder_.path()), before);
    }
  }
  TempFolder folder_;
  std::string path_ = folder_ / "model.gguf";
};

TEST_F(BadGguf, G1ToG12HeadersThatLie) {
  GgufBytes bad = small_file();
  bad.version = 0x03000000;
  is_rejected(bad.bytes(), "big-endian");
  bad = small_file();
  bad.tensor_count = uint64_t{1} << 62;
  is_rejected(bad.bytes(), "tensors");
  is_rejected(small_file().array("k", 9, 1, "").bytes(), "key \"k\": an array of arrays");
  is_rejected(small_file().u32("general.alignment", 3).bytes(), "key \"general.alignment\"");
  is_rejected(small_file().tensor("x", {256}, 4, "").bytes(), "tensor \"x\": type 4");
  const uint64_t most = INT64_MAX;
  is_rejected(small_file().tensor("x", {most, 2}, 0, "").bytes(), "tensor \"x\": the size");
  bad = small_file();
  bad.records[0].name = "\x1b[2J";
  bad.records[0].offset = 1;
  is_rejected(bad.bytes(), "tensor \"\\x1b[2J\"");
}

TEST_F(BadGguf, G13CutFiles) {
  const std::string whole = small_file().bytes();
  for (size_t size : {size_t{4}, size_t{24}, size_t{60}, whole.size() - 1})
    is_rejected(whole.substr(0, size), "");
}

TEST_F(BadGguf, G15G16ModelsThatCannotBe) {
  is_rejected(small_file().bytes(), "llama.");
  is_rejected(small_file().set("general.architecture", 8, gguf_string("phi9")).bytes(),
              "\"phi9\" is not one that nibble opens");
}

TEST_F(BadGguf, G20PartsThatAreMissing) {
  path_ = folder_ / "m-00001-of-00002.gguf";
  GgufBytes part = small_file();
  part.raw("split.no", 2, little(uint16_t{0})).raw("split.count", 2, little(uint16_t{2}));
  const std::string missing = (folder_ / "m-00002-of-00002.gguf") + ": part 2 of 2 is missing";
  put_file(path_, part.bytes());
  expect_rejected(run_nibble({"inspect", path_}), 66, missing);
  part.set("split.no", 2, little(uint16_t{1}));
  put_file(folder_ / "m-00002-of-00002.gguf", part.bytes());
  expect_rejected(run_nibble({"inspect", path_}), 65, "stands in two parts of the set");
}

TEST_F(BadGguf, WhatIsNoFileIsNotWaitedFor) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  for (const char* verb : {"inspect", "tokenize"}) {
    std::vector<std::string> words{verb, path_};
    if (words[0] == "tokenize") words.insert(words.end(), {"--text", "a"});
    expect_rejected(run_nibble(words), 66, path_);
  }
}

}  // namespace
}  // namespace nibble::test
