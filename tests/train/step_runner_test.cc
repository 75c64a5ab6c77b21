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
  out.matrices_end = out.scales_begin = out.size = kWeights / kTrainAlign * kTrainAlign;
  return out;
}

TEST(StepRunner, WhatAChunkThrowsComesOutAndChangesNothing) {
  const FlatLayout layout = weights_only();
  constexpr size_t kChunks = 8;
  for (const int threads : {1, 3}) {
    StepRunner runner(layout, best_train_ops(), {[](int64_t, int64_t) {}});
    std::fill_n(runner.weights.data(), layout.size, 0.5f);
    bool fails = true;
    const auto gradient = [&](size_t, size_t chunk) {
      if (fails && chunk == 2) throw corrupt("the second");
      if (fails && chunk >= 3) throw std::bad_alloc();
      std::fill_n(runner.gradient(chunk), layout.size, 1.0f);
      return 1.0;
    };
    const TrainAdam<float> adam{0.1, 0.9, 0.99, 1e-8, 1, 1, 0, 1};
    EXPECT_THROW(runner.step(kChunks, gradient, adam, 1.0, threads), Error) << threads;
    for (int64_t i = 0; i < layout.size; ++i) ASSERT_EQ(runner.weights.data()[i], 0.5f) << i;
    fails = false;
    EXPECT_EQ(runner.step(kChunks, gradient, adam, 1.0, threads), 8.0);
    EXPECT_LT(runner.weights.data()[7], 0.5f);
  }
}

}  // namespace
}  // namespace nibble
