// Headers of GGUF files that lie (BAD_INPUTS G1 to G12).
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <limits>

#include "nibble/format/gguf_file.h"
#include "tests/support/expect_error.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using namespace std::literals;
using test::expect_error;
using test::GgufBytes;
using test::little;

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();

// Two keys and two tensors.
GgufBytes good() {
  GgufBytes out;
  out.string("general.architecture", "llama").u32("llama.block_count", 2);
  out.f32_tensor("a", {3, 2}, {1, 2, 3, 4, 5, 6}).f32_tensor("b", {2}, {7, 8});
  return out;
}

class GgufHeaders : public testing::Test {
 protected:
  GgufFile load(const std::string& bytes) {
    test::put_file(path_, bytes);
    GgufFile out = GgufFile::open(path_);
    out.require_data();
    return out;
  }
  GgufFile load(const GgufBytes& file) { return load(file.bytes()); }
  // In one line that names the file.
  void refuses(const std::string& words, const std::string& bytes) {
    expect_error(test::bad_file(), path_, [&] { load(bytes); });
    expect_error(test::bad_file(), words, [&] { load(bytes); });
  }
  void refuses(const std::string& words, const GgufBytes& file) { refuses(words, file.bytes()); }

  test::TempFolder folder_;
  std::string path_ = folder_ / "model.gguf";
};

TEST_F(GgufHeaders, WhatIsRightOpens) {
  const GgufFile file = load(good());
  EXPECT_EQ(file.version(), 3u);
  EXPECT_EQ(file.parts(), 1u);
  EXPECT_EQ(file.metadata().string("general.architecture"), "llama");
  EXPECT_EQ(file.metadata().integer("llama.block_count"), 2);
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.require("a").shape, Shape({2, 3}));
  EXPECT_EQ(file.find("c"), nullptr);
  expect_error(ErrorKind::not_found, "tensor \"c\"", [&] { file.require("c"); });
  const Weight a = gguf_weight(file.require("a"), {0, 2}),
               b = gguf_weight(file.require("b"), {0, 2});
  EXPECT_EQ(a.values()[5], 6);
  EXPECT_EQ(b.plain().shape(), Shape{2});
  EXPECT_EQ(b.values()[1], 8);
  GgufBytes two = good();
  two.version = 2;
  EXPECT_EQ(load(two).version(), 2u);
  EXPECT_TRUE(is_gguf(path_));
}

TEST_F(GgufHeaders, G1MagicAndVersion) {
  GgufBytes bad = good();
  bad.magic = "GGML";
  refuses("does not begin with \"GGUF\"", bad);
  EXPECT_FALSE(is_gguf(path_));
  refuses("offset 0", "");
  refuses("offset 4", "GGUF"s);
  const auto versions = {std::pair(0u, "version 0"),
                         {1u, "version 1 of GGUF is not read"},
                         {4u, "version 4"},
                         {0x03000000u, "big-endian"}};
  for (const auto& [version, words] : versions) {
    bad = good();
    bad.version = version;
    refuses(words, bad);
  }
  refuses("zip", "PK\x03\x04" + std::string(100, 'x'));
}

TEST_F(GgufHeaders, WhatIsNoFileIsNotWaitedFor) {
  ASSERT_EQ(mkfifo((folder_ / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(is_gguf(folder_ / "fifo"));
  EXPECT_FALSE(is_gguf(folder_.path()));
  EXPECT_FALSE(is_gguf(folder_ / "none"));
  expect_error(ErrorKind::not_found, "fifo", [&] { GgufFile::open(folder_ / "fifo"); });
}

TEST_F(GgufHeaders, G2CountsThatTheFileCannotHold) {
  for (const uint64_t count : {kMost, uint64_t{1} << 62, uint64_t{1'000'000'000}, uint64_t{1000}}) {
    GgufBytes bad = good();
    bad.tensor_count = count;
    refuses("tensors", bad);
    bad = good();
    bad.entry_count = count;
    refuses("keys", bad);
  }
}

TEST_F(GgufHeaders, G3Keys) {
  const std::string front = "GGUF" + little(3u) + little(uint64_t{0}) + little(uint64_t{1});
  const std::string behind = "ab" + little(4u) + little(1u);
  for (const uint64_t length : {kMost, uint64_t{1} << 31, uint64_t{behind.size() + 1}})
    refuses("key 0: ", front + little(length) + behind);
  for (const std::string& key : {""s, "a\0b"s, "\xFF"s}) {
    GgufBytes bad = good();
    bad.u32(key, 1);
    refuses("key 2: ", bad);
  }
}

TEST_F(GgufHeaders, G4Values) {
  for (const uint32_t type : {13u, ~0u}) {
    refuses("key \"k\": type", good().raw("k", type, little(1u)));
    refuses("key \"k\": type", good().array("k", type, 1, little(1u)));
  }
  refuses("key \"k\": an array of arrays", good().array("k", 9, 1, little(4u)));
  refuses("key \"k\"", good().array("k", 4, uint64_t{1} << 61, little(1u)));
  refuses("key \"k\"", good().array("k", 8, 1000, little(uint64_t{0})));
  refuses("key \"k\"", good().array("k", 8, 1, little(kMost)));
  refuses("key \"k\"", good().raw("k", 8, little(uint64_t{1} << 40)));
  refuses("key \"k\": a bool that is neither", good().raw("k", 7, "\2"));
  refuses("key \"k\": a bool that is neither", good().array("k", 7, 3, "\1\0\xFF"s));
}

TEST_F(GgufHeaders, G5KeysTwiceAndMany) {
  refuses("key \"llama.block_count\": stands in the file twice",
          good().u32("llama.block_count", 2));
  GgufBytes many = good();
  for (int i = 0; i < 200'000; ++i) many.u32("k" + std::to_string(i), 1);
  const std::string bytes = many.bytes();
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(load(bytes).metadata().list().size(), 200'002u);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);  // 1 s on a machine that is not busy
}

TEST_F(GgufHeaders, G6Alignment) {
  const std::string key = "general.alignment";
  for (const uint32_t value : {0u, 3u, 1u << 31, 1u << 17})
    refuses("key \"general.alignment\": must be a power of two", good().u32(key, value));
  refuses("key \"general.alignment\": expected a u32", good().raw(key, 5, little(32)));
  refuses("key \"general.alignment\": expected a u32", good().string(key, "32"));
  refuses("key \"general.alignment\": expected a u32", good().array(key, 4, 1, little(32u)));
  for (const size_t value : {1, 8, 4096, 65536}) {
    GgufBytes other = good();
    other.u32(key, static_cast<uint32_t>(value)).alignment = value;
    EXPECT_EQ(gguf_weight(load(other).require("b"), {0, 2}).values()[1], 8) << value;
  }
}

TEST_F(GgufHeaders, G7NamesOfTensors) {
  refuses("tensor 2: ", good().f32_tensor(std::string(64, 'x'), {1}, {1}));
  load(good().f32_tensor(std::string(63, 'x'), {1}, {1}));
  refuses("tensor \"a\": stands in the file twice", good().f32_tensor("a", {1}, {1}));
  for (const std::string& name : {""s, "a\0"s, "\xC0\x80"s})
    refuses("tensor 2: ", good().f32_tensor(name, {1}, {1}));
  GgufBytes control = good();
  control.f32_tensor("x\x1b[2J\n", {1}, {1}).record("x\x1b[2J\n").extents = {kMost};
  refuses("tensor \"x\\x1b[2J\\x0a\"", control);
}

TEST_F(GgufHeaders, G8Extents) {
  refuses("tensor \"x\": 5 extents", good().f32_tensor("x", {1, 1, 1, 1, 1}, {1}));
  GgufBytes bad = good();
  std::string header = bad.f32_tensor("x", {}, {1}).header();
  const size_t at = header.rfind("x") + 1;
  header.replace(at, 4, little(~0u));
  refuses("tensor \"x\": 4294967295 extents", header);
  refuses("tensor \"x\": extent 0 is 18446744073709551615", good().f32_tensor("x", {kMost}, {1}));
  const GgufFile file = load(good().f32_tensor("none", {0}, {}).f32_tensor("one", {}, {1}));
  EXPECT_EQ(file.require("none").bytes, 0u);
  EXPECT_EQ(file.require("one").bytes, 4u);
  EXPECT_EQ(file.require("one").shape.rank(), 0u);
}

TEST_F(GgufHeaders, G9SizesThatOverflow) {
  const auto with = [](std::vector<uint64_t> extents, uint32_t type = 0) {
    return good().tensor("x", std::move(extents), type, "1234");
  };
  const std::string overflow = "tensor \"x\": the size of its data overflows";
  refuses(overflow, with({uint64_t{INT64_MAX}, 2}));
  const uint64_t large = uint64_t{4} * INT32_MAX;
  refuses(overflow, with({large, large, large, large}));
  refuses(overflow, with({uint64_t{1} << 62}));            // fits, its bytes do not
  refuses(overflow, with({uint64_t{INT64_MAX} - 3}, 24));  // fits, filled up it would not
  refuses("tensor \"x\": data [", with({uint64_t{1} << 40}));
}

TEST_F(GgufHeaders, G10TheWholeOverflows) {
  GgufBytes bad = good();
  const uint64_t large = 0x7FFFFFFFFFFFFFC0;
  bad.tensor("x", {large}, 24, std::string(32, 'x'));
  bad.tensor("y", {large}, 24, "").records.back().offset = large + 64;
  refuses("tensor \"x\": the size of its data overflows", bad);
  // Each fits, all of them do not.
  bad = GgufBytes();
  for (uint64_t i = 0; i < 9; ++i) {
    bad.tensor("x" + std::to_string(i), {uint64_t{1} << 57}, 24, "");
    bad.records.back().offset = i << 57;
  }
  refuses("tensor \"x8\": the size of its data overflows", bad);
}

TEST_F(GgufHeaders, G11Types) {
  for (const uint32_t type : {4u, 5u, 31u, 32u, 33u, 36u, 37u, 38u, 43u, 1000u, ~0u}) {
    refuses("tensor \"x\": type " + std::to_string(type) + " is none of GGUF's",
            good().tensor("x", {256}, type, std::string(1024, '\0')));
  }
  refuses("tensor \"x\": rows of 33 elements are no whole blocks of 32 (Q8_0)",
          good().tensor("x", {33, 32}, 8, std::string(34 * 33, '\0')));
  refuses("no whole blocks of 256 (Q4_K)",
          good().tensor("x", {128, 2}, 12, std::string(144, '\0')));
  refuses("no whole blocks of 32", good().tensor("x", {}, 8, std::string(34, '\0')));
}

TEST_F(GgufHeaders, G12PlacesOfTheData) {
  for (const uint64_t offset :
       {kMost, uint64_t{1}, uint64_t{24}, uint64_t{0}, uint64_t{64}, uint64_t{1} << 40}) {
    GgufBytes bad = good();
    bad.record("b").offset = offset;
    refuses("tensor \"b\": its data begin at byte " + std::to_string(offset) +
                " of the data, expected 32",
            bad);
  }
  GgufBytes crossed = good();
  crossed.record("a").offset = 32, crossed.record("b").offset = 0;
  refuses("tensor \"a\"", crossed);
  const std::string whole = good().bytes();
  const std::string range = "tensor \"b\": data [" + std::to_string(whole.size() - 8) + ", " +
                            std::to_string(whole.size()) + ") lie beyond the " +
                            std::to_string(whole.size() - 1) + " bytes";
  refuses(range, whole.substr(0, whole.size() - 1));
  refuses("1 bytes are missing", whole.substr(0, whole.size() - 1));
}

}  // namespace
}  // namespace nibble
