// Importance matrices of llama.cpp's, in both forms, and files that are none.
#include "nibble/format/importance_file.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/expect_error.h"
#include "tests/support/importance_bytes.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;
using test::ImportanceRow;
using test::little;

const std::vector<ImportanceRow> kTwoWeights = {{"blk.0.attn_q.weight", {2, 4, 0.5f}, {8}},
                                                {"blk.0.ffn_up_exps.weight", {1, 2, 3, 4}, {3, 5}}};

class ImportanceFiles : public testing::Test {
 protected:
  ImportanceFile read(const std::string& bytes) const {
    test::put_file(path_, bytes);
    return read_importance(path_);
  }
  void corrupt(std::string_view words, const std::string& bytes) const {
    expect_error(ErrorKind::corrupt, words, [&] { read(bytes); });
  }
  // kTwoWeights with a value changed.
  static std::vector<ImportanceRow> with_sum(float value) {
    std::vector<ImportanceRow> out = kTwoWeights;
    out[0].sums[1] = value;
    return out;
  }
  test::TempFolder folder_;
  std::string path_ = folder_ / "imatrix";
};

TEST_F(ImportanceFiles, GgufHasSumsAndTheRowsSeen) {
  const ImportanceFile file = read(test::importance_gguf(kTwoWeights).bytes());
  ASSERT_EQ(file.entries.size(), 2u);
  EXPECT_TRUE(file.counts_rows);
  EXPECT_EQ(file.chunks, 7);
  EXPECT_EQ(file.chunk_size, 512);
  const ImportanceEntry& q = file.entries.at("blk.0.attn_q.weight");
  EXPECT_EQ(q.sums, (std::vector<float>{2, 4, 0.5f}));
  EXPECT_EQ(q.counts, std::vector<double>{8});
  const ImportanceEntry& up = file.entries.at("blk.0.ffn_up_exps.weight");
  EXPECT_EQ(up.sums, (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(up.counts, (std::vector<double>{3, 5}));
}

// Newer ones have the sums of inputs beside those of their squares.
TEST_F(ImportanceFiles, OtherTensorsOfGgufArePassedOver) {
  test::GgufBytes bytes = test::importance_gguf(kTwoWeights);
  bytes.f32_tensor("blk.0.attn_q.weight.in_sum", {3}, {-1, 1, 2});
  EXPECT_EQ(read(bytes.bytes()).entries.size(), 2u);
}

TEST_F(ImportanceFiles, TheOlderFormHasMeansTimesChunks) {
  const ImportanceFile file = read(test::importance_dat(kTwoWeights));
  ASSERT_EQ(file.entries.size(), 2u);
  EXPECT_FALSE(file.counts_rows);
  EXPECT_EQ(file.chunks, 7);
  EXPECT_EQ(file.chunk_size, std::nullopt);
  EXPECT_EQ(file.entries.at("blk.0.attn_q.weight").sums, (std::vector<float>{2, 4, 0.5f}));
  EXPECT_EQ(file.entries.at("blk.0.attn_q.weight").counts, std::vector<double>{8});
  EXPECT_EQ(file.entries.at("blk.0.ffn_up_exps.weight").counts, std::vector<double>{3});
  // The first program wrote nothing behind the entries.
  EXPECT_EQ(read(test::importance_dat_entries(kTwoWeights)).chunks, std::nullopt);
  // Of no chunks the values stand as they are.
  const ImportanceFile none = read(test::importance_dat({{"a", {3}, {0}}}));
  EXPECT_EQ(none.entries.at("a").counts, std::vector<double>{1});
}

// Cut anywhere: an error, or all entries and less of what stands behind them.
TEST_F(ImportanceFiles, CutAtEveryByte) {
  const std::string entries = test::importance_dat_entries(kTwoWeights),
                    all = test::importance_dat(kTwoWeights);
  for (size_t size = 0; size < all.size(); ++size) {
    const bool whole = size == entries.size() || size == entries.size() + sizeof(int32_t);
    EXPECT_EQ(test::kind_of([&] { read(all.substr(0, size)); }), whole ? "" : "corrupt") << size;
  }
  const std::string gguf = test::importance_gguf(kTwoWeights).bytes();
  for (size_t size = 0; size < gguf.size(); ++size)
    EXPECT_EQ(test::kind_of([&] { read(gguf.substr(0, size)); }), "corrupt") << size;
}

TEST_F(ImportanceFiles, NumbersOfTheOlderFormThatAreLies) {
  const std::string entry = little(int32_t{1}) + "a" + little(int32_t{1});
  corrupt("offset 0: the number of entries: expected 0 or more, found -1", little(int32_t{-1}));
  corrupt("number of entries: 1000000000 of them, but the 0 bytes left hold at most 0",
          little(int32_t{1'000'000'000}));
  corrupt("holds no entries", little(int32_t{0}));
  corrupt("the name of an entry: expected 0 or more, found -5",
          little(int32_t{1}) + little(int32_t{-5}) + std::string(20, 'x'));
  corrupt("the chunks of an entry: expected 0 or more, found -1",
          little(int32_t{1}) + little(int32_t{1}) + "a" + little(int32_t{-1}) + little(0.0f));
  corrupt("the values of an entry: 536870912 of them",
          little(int32_t{1}) + entry + little(int32_t{1 << 29}));
  corrupt("entry \"a\": holds no sums", little(int32_t{1}) + entry + little(int32_t{0}));
  corrupt("entry \"a\": stands there twice",
          test::importance_dat({{"a", {1}, {1}}, {"a", {2}, {1}}}));
  corrupt("4 bytes behind the end", test::importance_dat(kTwoWeights) + "more");
}

TEST_F(ImportanceFiles, ValuesThatAreNoSumsOfSquares) {
  for (const float bad : {-1.0f, std::nanf(""), INFINITY}) {
    corrupt("entry \"blk.0.attn_q.weight\": sum 1 is", test::importance_dat(with_sum(bad)));
    corrupt("entry \"blk.0.attn_q.weight\": sum 1 is",
            test::importance_gguf(with_sum(bad)).bytes());
  }
  std::vector<ImportanceRow> rows = kTwoWeights;
  rows[1].counts[1] = -1;
  corrupt("entry \"blk.0.ffn_up_exps.weight\": count 1 is -1", test::importance_gguf(rows).bytes());
}

TEST_F(ImportanceFiles, GgufThatIsNoImportanceMatrix) {
  const auto gguf = [] { return test::importance_gguf(kTwoWeights); };
  corrupt("key \"general.type\": is \"model\": expected \"imatrix\"",
          gguf().set("general.type", 8, test::gguf_string("model")).bytes());
  corrupt("key \"general.type\": is \"model\"", gguf().without("general.type").bytes());
  corrupt("entry \"blk.0.attn_q.weight\": holds no sums, or no counts",
          gguf().without_tensor("blk.0.attn_q.weight.counts").bytes());
  corrupt("entry \"blk.0.attn_q.weight\": holds no sums, or no counts",
          gguf().without_tensor("blk.0.attn_q.weight.in_sum2").bytes());
  test::GgufBytes half = gguf();
  half.tensor("b.in_sum2", {2}, 1, "abcd");
  corrupt("tensor \"b.in_sum2\": expected F32, found F16", half.bytes());
  test::GgufBytes odd = gguf();
  odd.f32_tensor("b.in_sum2", {3}, {1, 2, 3}).f32_tensor("b.counts", {1, 2}, {1, 2});
  corrupt("entry \"b\": 3 sums with 2 counts", odd.bytes());
  corrupt("key \"imatrix.chunk_count\": expected 0 or more, found -2",
          gguf().set("imatrix.chunk_count", 5, little(int32_t{-2})).bytes());
  test::GgufBytes none;
  corrupt("holds no entries", none.string("general.type", "imatrix").bytes());
}

TEST_F(ImportanceFiles, OtherFilesAreKnownByTheirNames) {
  expect_error(ErrorKind::unsupported, "Git LFS",
               [&] { read("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"); });
  expect_error(ErrorKind::not_found, "no/such", [] { read_importance("no/such"); });
}

}  // namespace
}  // namespace nibble
