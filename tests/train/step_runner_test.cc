// A step whose chunks fail: the error comes out, nothing has moved.
#include "nibble/train/step_runner.h"

#include <gtest/gtest.h>

#include <new>

#include "nibble/core/error.h"

namespace nibble {
namespace {

constexpr int64_t kWeights = 3000;

FlatLayout weights_only() {
  FlatLayout out;
  out.matrices_end = out.size = kWeights / kTrainAlign * kTrainAlign;
  return out;
}

TEST(StepRunner, WhatAChunkThrowsComesOutAndChangesNothing) {
  const FlatLayout layout = weights_only();
  std::vector<Chunk> chunks(8);
  for (size_t c = 0; c < chunks.size(); ++c) chunks[c].begin = static_cast<int64_t>(c);
  for (const int threads : {1, 3}) {
    StepRunner runner(layout, best_train_ops());
    std::fill_n(runner.weights.data(), layout.size, 0.5f);
    bool fails = true;
    const auto gradient = [&](size_t, const Chunk& chunk, const float*, const float*, float* g) {
      if (fails && chunk.begin == 2) throw corrupt("the second");
      if (fails && chunk.begin >= 3) throw std::bad_alloc();
      std::fill_n(g, layout.size, 1.0f);
      return 1.0;
    };
    const TrainAdam<float> adam{0.1, 0.9, 0.99, 1e-8, 1, 1, 0, 1};
    EXPECT_THROW(runner.step(chunks, gradient, adam, 1.0, threads), Error) << threads;
    for (int64_t i = 0; i < layout.size; ++i) ASSERT_EQ(runner.weights.data()[i], 0.5f) << i;
    fails = false;
    EXPECT_EQ(runner.step(chunks, gradient, adam, 1.0, threads), 8.0);
    EXPECT_LT(runner.weights.data()[7], 0.5f);
  }
}

}  // namespace
}  // namespace nibble
