// Where metrics are cut, and that what is summed is what was put in.
#include "nibble/compress/output_sums.h"

#include <gtest/gtest.h>

#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using Ends = std::vector<int64_t>;

TEST(OutputSums, PiecesAreEqualAndNotTooLarge) {
  EXPECT_EQ(equal_pieces(768, 64, 1024), (Ends{0, 768}));
  EXPECT_EQ(equal_pieces(2048, 64, 1024), (Ends{0, 1024, 2048}));
  EXPECT_EQ(equal_pieces(5632, 16, 1024), (Ends{0, 944, 1888, 2832, 3776, 4720, 5632}));
  EXPECT_EQ(equal_pieces(2000, 16, 1000), (Ends{0, 672, 1344, 2000}));  // 1008 would be too large
  EXPECT_EQ(equal_pieces(5 * 96, 96, 200), (Ends{0, 192, 384, 480}));
  EXPECT_EQ(equal_pieces(40, 16, 8), (Ends{0, 16, 32, 40}));
  EXPECT_EQ(equal_pieces(7, 16, 1024), (Ends{0, 7}));
}

const OutputMetric& of(const std::vector<std::pair<ParamKey, OutputMetric>>& all, Role role,
                       int expert = -1) {
  for (const auto& [key, metric] : all)
    if (key == ParamKey{role, 0, expert}) return metric;
  throw std::logic_error("no such role");
}

TEST(OutputSums, SeparateProjectionsAreCutOnHeads) {
  OutputSums sums(tiny_decoder_config("llama"), 0, 20);  // heads of 4 outputs
  const auto all = sums.finish(1, 1);
  ASSERT_EQ(all.size(), 7U);
  EXPECT_EQ(of(all, Role::q).starts, (Ends{0, 16}));
  EXPECT_EQ(of(all, Role::k).starts, (Ends{0, 8}));
  EXPECT_EQ(of(all, Role::gate).starts, (Ends{0, 16, 24}));
  OutputSums small(tiny_decoder_config("llama"), 0, 8);
  EXPECT_EQ(of(small.finish(1, 1), Role::q).starts, (Ends{0, 8, 16}));
}

TEST(OutputSums, AFusedMatrixIsCutBetweenItsPartsToo) {
  OutputSums sums(tiny_decoder_config("gpt2"), 0, 12);
  const auto all = sums.finish(1, 1);
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(all.front().first, (ParamKey{Role::qkv, 0}));
  EXPECT_EQ(all.front().second.starts, (Ends{0, 8, 16, 24, 32, 40, 48}));
  EXPECT_EQ(all.front().second.blocks.size(), 6U);
}

TEST(OutputSums, AreTheMeanOfOuterProducts) {
  const DecoderConfig config = tiny_decoder_config("gpt2");
  OutputSums sums(config, 0, 16);
  const int64_t n = config.intermediate_size;  // 64: four pieces
  std::vector<OutputSums::Rows> samples;
  std::vector<float> all;
  PyRandom random(3);
  for (int sample = 0; sample < 3; ++sample) {
    sums.clear(samples.emplace_back());
    for (int part = 0; part < 2; ++part) {
      std::vector<float> rows(static_cast<size_t>(2 * n));
      for (float& v : rows) v = static_cast<float>(random.gauss(0, 1));
      sums.put({Role::up, 0}, 2, rows.data(), samples.back());
      all.insert(all.end(), rows.begin(), rows.end());
    }
  }
  sums.add(samples, 2);
  const auto metrics = sums.finish(1.0 / 12, 2);
  const OutputMetric& up = of(metrics, Role::up);
  ASSERT_EQ(up.starts, (Ends{0, 16, 32, 48, 64}));
  for (size_t b = 0; b < up.blocks.size(); ++b) {
    for (int64_t i = 0; i < 16; ++i) {
      for (int64_t j = 0; j < 16; ++j) {
        double mean = 0;
        for (int64_t r = 0; r < 12; ++r)
          mean += double{all[static_cast<size_t>(r * n + up.starts[b] + i)]} *
                  all[static_cast<size_t>(r * n + up.starts[b] + j)] / 12;
        EXPECT_NEAR(up.blocks[b][static_cast<size_t>(i * 16 + j)], mean, 1e-6);
      }
    }
  }
  for (const float v : of(metrics, Role::o).blocks[0]) EXPECT_EQ(v, 0);
}

// Each expert has its own, of the rows that it got; a row of the stream is of `chosen` of them.
TEST(OutputSums, ExpertsHaveTheirOwn) {
  const DecoderConfig config = tiny_decoder_config("mixtral");  // 4 experts, 2 for each row
  OutputSums sums(config, 0, 1024);
  EXPECT_EQ(sums.width(), 16 + 8 + 8 + 16 + 2 * (24 + 24 + 16));
  std::vector<OutputSums::Rows> samples(1);
  sums.clear(samples[0]);
  const std::vector<float> rows(24 * 3, 2.0F);
  sums.put({Role::up, 0, 1}, 3, rows.data(), samples[0]);
  sums.put({Role::up, 0, 3}, 1, rows.data(), samples[0]);
  sums.add(samples, 1);
  const auto metrics = sums.finish(0.25, 1);
  EXPECT_EQ(metrics.size(), 4U + 4 * 3);
  const float expected[] = {0, 3, 0, 1};  // rows / 4 * 2 * 2
  for (int e = 0; e < 4; ++e) {
    EXPECT_EQ(of(metrics, Role::up, e).blocks[0][25], expected[e]) << e;
    EXPECT_EQ(of(metrics, Role::gate, e).blocks[0][25], 0) << e;
  }
}

}  // namespace
}  // namespace nibble
