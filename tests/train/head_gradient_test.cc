// The gradient that the head gives, against what it must be: a distribution's own gradients sum to
// nothing, and their squares give the KL divergence of a small change.
#include "nibble/train/head_gradient.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/model/layer_runner.h"
#include "nibble/nn/losses.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

// Every label once: draw j of a row is label j.
int32_t every_label(int64_t, int draw, std::span<const float>) { return draw; }

struct Head {
  explicit Head(const std::string& type)
      : model(tiny_decoder(tiny_decoder_config(type), 11)),
        config(model.decoder_config()),
        load([this](const ParamSpec& p) { return load_weight(model, p); }),
        find(config, load, keep),
        weights(config, find) {}
  Model model;
  const DecoderConfig& config;
  WeightLoader load;
  WeightRelease keep;
  ParameterFinder find;
  HeadWeights weights;

  void draw(const std::vector<float>& x, int draws, const LabelChoice<float>& choose,
            float* out) const {
    Buffer<float> own = buffer_of<float>(x);
    HeadGradient<float>(config, best_train_ops())
        .draw(weights.view(), std::ssize(x) / config.hidden_size, own.data(), draws, choose, out);
  }

  // log p of every label at every row.
  std::vector<float> log_probabilities(const std::vector<float>& x) const {
    const int64_t rows = std::ssize(x) / config.hidden_size, n = config.vocab_size;
    std::vector<float> out(static_cast<size_t>(rows * n)), ignored(x.size());
    const auto note = [&](int64_t row, int, std::span<const float> p) {
      for (size_t i = 0; i < p.size(); ++i) out[static_cast<size_t>(row * n) + i] = std::log(p[i]);
      return 0;
    };
    draw(x, 1, note, ignored.data());
    return out;
  }
};

std::vector<float> random_rows(size_t count, uint64_t seed, double deviation) {
  PyRandom random(seed);
  std::vector<float> out(count);
  for (float& v : out) v = static_cast<float>(random.gauss(0, deviation));
  return out;
}

class HeadGradients : public testing::TestWithParam<const char*> {};

TEST_P(HeadGradients, ProbabilitiesAreTheDecodersOwn) {
  const Head head(GetParam());
  const std::vector<int32_t> ids = {3, 1, 4, 1, 5, 9, 2, 6};
  const std::vector<float> logits = logits_of_tokens(head.model, ids);
  const LayerRunner walk(head.config, head.load);
  std::vector<float> x = walk.embed(ids);
  for (int layer = 0; layer < head.config.layers; ++layer) walk.run(walk.layer(layer), x);
  const std::vector<float> own = head.log_probabilities(x);
  const auto n = static_cast<size_t>(head.config.vocab_size);
  ASSERT_EQ(own.size(), logits.size());
  for (size_t i = 0; i < own.size(); ++i) {
    const double norm = log_sum_exp(std::span(logits).subspan(i / n * n, n));
    EXPECT_NEAR(own[i], logits[i] - norm, 1e-4);
  }
}

TEST_P(HeadGradients, AreThoseOfTheLoss) {
  const Head head(GetParam());
  const auto width = static_cast<size_t>(head.config.hidden_size);
  const auto n = static_cast<size_t>(head.config.vocab_size);
  const std::vector<float> x = random_rows(width, 3, 1);
  std::vector<float> all(width * n);
  head.draw(x, static_cast<int>(n), every_label, all.data());
  constexpr float kHeadStep = 1e-2F;
  for (size_t i = 0; i < width; ++i) {
    std::vector<float> above = x, below = x;
    above[i] += kHeadStep, below[i] -= kHeadStep;
    const std::vector<float> p = head.log_probabilities(above), q = head.log_probabilities(below);
    for (size_t label = 0; label < n; ++label)
      EXPECT_NEAR(all[label * width + i], (q[label] - p[label]) / (2 * kHeadStep), 1e-3);
  }
}

TEST_P(HeadGradients, SumToNothingAndSquareToTheDivergence) {
  const Head head(GetParam());
  const auto width = static_cast<size_t>(head.config.hidden_size);
  const auto n = static_cast<size_t>(head.config.vocab_size);
  const std::vector<float> x = random_rows(width, 3, 1), change = random_rows(width, 4, 5e-3);
  std::vector<float> all(width * n), above = x, below = x;
  head.draw(x, static_cast<int>(n), every_label, all.data());
  const std::vector<float> log_p = head.log_probabilities(x);
  std::vector<double> sum(width);
  double square = 0, size = 0;
  for (size_t label = 0; label < n; ++label) {
    const double p = std::exp(log_p[label]);
    double along = 0;
    for (size_t i = 0; i < width; ++i) {
      const double g = all[label * width + i];
      sum[i] += p * g;
      size += p * g * g;
      along += g * change[i];
    }
    square += p * along * along;
  }
  for (const double v : sum) EXPECT_LT(std::abs(v), 1e-5 * std::sqrt(size));
  for (size_t i = 0; i < width; ++i) above[i] += change[i], below[i] -= change[i];
  // Both directions, so that what is odd in the change is gone.
  const double divergence = (kl_divergence(log_p, head.log_probabilities(above)) +
                             kl_divergence(log_p, head.log_probabilities(below))) /
                            2;
  EXPECT_NEAR(square / 2 / divergence, 1, 0.01);
}

INSTANTIATE_TEST_SUITE_P(, HeadGradients,
                         testing::Values("micro_gpt", "gpt2", "opt", "llama", "gemma2"));

TEST(HeadGradient, LabelsAreDrawnAsOftenAsTheyAreLikely) {
  const std::vector<float> p = {0.125F, 0, 0.5F, 0.375F};
  EXPECT_EQ(draw_label(p, 0), 0);
  EXPECT_EQ(draw_label(p, 0.1249), 0);
  EXPECT_EQ(draw_label(p, 0.125), 2);
  EXPECT_EQ(draw_label(p, 0.6249), 2);
  EXPECT_EQ(draw_label(p, 0.625), 3);
  EXPECT_EQ(draw_label(p, 0.9999999999999999), 3);
}

// More rows than fit the memory that a thread may hold at once: the same as row by row.
TEST(HeadGradient, RowsInChunks) {
  DecoderConfig config = tiny_decoder_config("llama");
  config.vocab_size = 300'000;
  const Model model = tiny_decoder(config, 11);
  const WeightLoader load = [&](const ParamSpec& p) { return load_weight(model, p); };
  const WeightRelease keep;
  const HeadWeights weights(config, ParameterFinder(config, load, keep));
  const HeadView<float> view = weights.view();
  HeadGradient<float> head(config, best_train_ops());
  const int64_t tokens = 61, width = config.hidden_size;
  const Buffer<float> x = buffer_of<float>(random_rows(static_cast<size_t>(tokens * width), 3, 1));
  std::vector<float> together(static_cast<size_t>(2 * x.size())),
      alone(2 * static_cast<size_t>(width));
  const auto label = [](int64_t row) { return static_cast<int32_t>(4099 * row + 17); };
  head.draw(
      view, tokens, x.data(), 2, [&](int64_t row, int draw, auto) { return label(row) + draw; },
      together.data());
  for (const int64_t row : {0, 26, 27, 28, 55, 60}) {
    head.draw(
        view, 1, x.data() + row * width, 2,
        [&](int64_t, int draw, auto) { return label(row) + draw; }, alone.data());
    for (int64_t i = 0; i < 2 * width; ++i) {
      const int64_t draw = i / width, column = i % width;
      EXPECT_NEAR(together[static_cast<size_t>((draw * tokens + row) * width + column)],
                  alone[static_cast<size_t>(i)], 1e-4);
    }
  }
}

TEST(HeadGradient, WhatIsNotFiniteIsRefused) {
  const Head head("gpt2");
  std::vector<float> x(static_cast<size_t>(head.config.hidden_size), 1.0F), out(x.size());
  x[3] = NAN;
  test::expect_error(ErrorKind::corrupt, "not finite",
                     [&] { head.draw(x, 1, every_label, out.data()); });
}

}  // namespace
}  // namespace nibble
