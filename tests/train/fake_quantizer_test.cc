#include "nibble/train/fake_quantizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/quant/number.h"
#include "nibble/train/whole_decoder.h"
#include "tests/train/tiny_runs.h"

namespace nibble {
namespace {

using namespace test;

Tensor random_matrix(int64_t n, int64_t k, uint64_t seed) {
  PyRandom random(seed);
  std::vector<float> w(static_cast<size_t>(n * k));
  for (float& v : w) v = static_cast<float>(random.gauss(0, 0.1));
  return Tensor::from<float>(Shape{n, k}, w);
}

std::vector<QuantScheme> makeable_schemes() {
  std::vector<QuantScheme> out;
  for (const char* text : {"int8:tensor",   "int8",     "int2:g32",    "int3:g16:asym", "int4:g32",
                           "int4:g64:asym", "ternary",  "ternary:g32", "nf4:g64",       "fp4:g64",
                           "fp8_e4m3",      "fp8_e5m2", "mxfp4",       "nvfp4",         "q2_k",
                           "q3_k",          "q4_1",     "q4_k",        "q5_1",          "q5_k",
                           "q6_k",          "iq4_nl",   "iq4_xs",      "affine4",       "affine2"})
    out.push_back(parse_scheme(text));
  return out;
}

// What passes multiply with is what the packed weight stands for, to the last bit, also when the
// weights and the step sizes have moved.
TEST(FakeQuantizer, IsThePackedWeight) {
  const Tensor w = random_matrix(5, 256, 3);
  for (const DType dtype : {DType::f16, DType::f32}) {
    for (const QuantScheme& scheme : makeable_schemes()) {
      for (const bool steady : {false, true}) {
        FakeQuantizer fake(scheme, w.shape(), dtype, steady);
        fake.settle(first_guess(w, scheme, dtype, "w", 1));
        std::vector<float> learnt(static_cast<size_t>(fake.learnt()));
        PyRandom random(9);
        for (const double moved : {0.0, 0.2}) {
          for (float& t : learnt) t = static_cast<float>(random.gauss(0, moved));
          std::vector<float> moving(w.data<float>().begin(), w.data<float>().end());
          for (float& v : moving) v += static_cast<float>(random.gauss(0, moved));
          std::vector<float> made(moving.size());
          fake.follow(learnt.data());
          fake.make(moving.data(), made.data());
          const QuantizedTensor packed = fake.pack(moving.data());
          validate(packed);
          const Tensor means = dequantize(packed);
          EXPECT_TRUE(std::equal(made.begin(), made.end(), means.data<float>().begin()))
              << to_string(scheme) << " moved by " << moved << (steady ? ", steady" : "");
        }
      }
    }
  }
}

// A weight that was made of codes comes back with the same codes and scales.
TEST(FakeQuantizer, BeginsWithWhatItIsGiven) {
  const Tensor w = random_matrix(4, 256, 5);
  for (const char* text : {"int2:g32", "int3:g32:asym", "int4:g32", "ternary", "q4_k", "q2_k"}) {
    const QuantScheme scheme = parse_scheme(text);
    const QuantizedTensor start = first_guess(w, scheme, DType::f16, "w", 1);
    FakeQuantizer fake(scheme, w.shape(), DType::f16);
    fake.settle(start);
    const std::vector<float> nothing(static_cast<size_t>(fake.learnt()));
    fake.follow(nothing.data());
    const Tensor values = dequantize(start);
    const QuantizedTensor again = fake.pack(values.data<float>().data());
    EXPECT_EQ(std::memcmp(again.scales.raw(), start.scales.raw(), start.scales.bytes()), 0) << text;
    EXPECT_EQ(std::memcmp(again.codes.raw(), start.codes.raw(), start.codes.bytes()), 0) << text;
  }
}

// Learnt step sizes, against finite differences: w^ is q s with the codes q held, plus what the
// straight-through gradient adds, so that of a loss sum c w^ it is sum c (w^ - w) inside.
TEST(FakeQuantizer, GradientsOfOneGroup) {
  const QuantScheme scheme = parse_scheme("int3:g4");
  const std::vector<float> w = {0.11f, -0.27f, 0.05f, 0.9f};  // the last is far beyond the grid
  QuantizedTensor start;
  start.scheme = scheme;
  start.shape = Shape{1, 4};
  const float scale = 0.125f;
  start.scales = Tensor::from<float>(Shape{1, 1}, std::span(&scale, 1));
  FakeQuantizer fake(scheme, start.shape, DType::f32);
  fake.settle(start);
  const std::vector<float> c = {1, 2, -3, 0.5f};
  const float learnt = 0;
  float dlearnt = 7;
  fake.follow(&learnt);
  std::vector<float> made(4), g = c;
  fake.make(w.data(), made.data());
  EXPECT_EQ(made, (std::vector<float>{0.125f, -0.25f, 0, 0.375f}));
  fake.pull_back(w.data(), g.data(), &dlearnt);
  EXPECT_EQ(g, (std::vector<float>{1, 2, -3, 0}));
  const double expected = 1 * (0.125 - 0.11) + 2 * (-0.25 + 0.27) - 3 * (0 - 0.05) + 0.5 * 0.375;
  EXPECT_NEAR(dlearnt, expected, 1e-6);
}

TEST(FakeQuantizer, ZeroPointsLearnFromWhatIsBeyondTheGrid) {
  const QuantScheme scheme = parse_scheme("int2:g4:asym");
  QuantizedTensor start;
  start.scheme = scheme;
  start.shape = Shape{1, 4};
  const float scale = 0.5f;
  const uint8_t zero = 1;  // levels -0.5, 0, 0.5, 1
  start.scales = Tensor::from<float>(Shape{1, 1}, std::span(&scale, 1));
  start.zeros = Tensor::from<uint8_t>(Shape{1, 1}, std::span(&zero, 1));
  FakeQuantizer fake(scheme, start.shape, DType::f32);
  fake.settle(start);
  const std::vector<float> w = {-0.5f, 0.1f, 2, 1};
  std::vector<float> g = {1, 1, 4, 1}, learnt = {0, 0}, dlearnt = {7, 7};
  fake.follow(learnt.data());
  fake.pull_back(w.data(), g.data(), dlearnt.data());
  EXPECT_EQ(g, (std::vector<float>{1, 1, 0, 1}));
  EXPECT_FLOAT_EQ(dlearnt[1], -4 * 0.5f * 4);  // -g * scale, for a step of 4 codes
  learnt[1] = -0.25f;                          // one code down: the levels move up
  fake.follow(learnt.data());
  std::vector<float> made(4);
  fake.make(w.data(), made.data());
  EXPECT_EQ(made, (std::vector<float>{0, 0, 1.5f, 1}));
}

TEST(FakeQuantizer, StateComesBack) {
  const Tensor w = random_matrix(3, 256, 8);
  const auto values = w.data<float>().data();
  for (const QuantScheme& scheme : makeable_schemes()) {
    FakeQuantizer one(scheme, w.shape(), DType::f16), two(scheme, w.shape(), DType::f16);
    one.settle(first_guess(w, scheme, DType::f16, "w", 1));
    ASSERT_EQ(one.state_size(), std::ssize(one.state())) << to_string(scheme);
    ASSERT_EQ(two.state_size(), std::ssize(one.state())) << to_string(scheme);
    two.adopt(one.state());
    const std::vector<float> learnt(static_cast<size_t>(one.learnt()), 0.01f);
    one.follow(learnt.data());
    two.follow(learnt.data());
    const QuantizedTensor a = one.pack(values), b = two.pack(values);
    EXPECT_EQ(std::memcmp(a.codes.raw(), b.codes.raw(), a.codes.bytes()), 0) << to_string(scheme);
    EXPECT_EQ(std::memcmp(a.scales.raw(), b.scales.raw(), a.scales.bytes()), 0)
        << to_string(scheme);
  }
}

TrainOptions quantized_options(const std::string& type, const char* scheme, int64_t steps) {
  TrainOptions o = options_of(type, steps);
  for (const ParamSpec& p : parameter_table(o.config))
    if (p.is_matrix() && p.layer >= 0) o.quantization.schemes[p.name] = parse_scheme(scheme);
  return o;
}

TEST(QuantizedTraining, LearnsAndGivesTheSameBytesForAnyNumberOfThreads) {
  const Sequences data = words(200, 16);
  for (const char* scheme : {"int2:g8", "ternary", "int3:g8:asym", "nf4:g8", "q4_1", "mxfp4"}) {
    const TrainOptions o = quantized_options("llama", scheme, 100);
    const TrainResult one = train(o, data, 1), many = train(o, data, 3);
    expect_same_bytes(one, many);
    EXPECT_LT(one.losses.back(), 2.6F) << scheme;
    ASSERT_FALSE(one.quantized.empty());
    for (const auto& [name, q] : one.quantized) {
      const QuantizedTensor& other = many.quantized.at(name);
      EXPECT_EQ(std::memcmp(q.codes.raw(), other.codes.raw(), q.codes.bytes()), 0) << name;
      EXPECT_EQ(std::memcmp(q.scales.raw(), other.scales.raw(), q.scales.bytes()), 0) << name;
    }
  }
}

// The loss that fake quantization sees is the loss of the model that is written.
TEST(QuantizedTraining, TheLossIsThatOfThePackedModel) {
  const Sequences data = words(200, 16), heldout = {data[7], data[11], data[13]};
  for (const char* type : {"gpt2", "llama", "mixtral", "gemma2"}) {
    const TrainOptions o = quantized_options(type, "int3:g8", 30);
    Trainer trainer(o, data);
    trainer.run(Exec{});
    const double seen = trainer.measure(heldout, Exec{}).loss;
    TrainResult got = trainer.result();
    for (const auto& [name, q] : got.quantized) got.weights.emplace(name, dequantize(q));
    const Model model = in_memory(o.config, got.weights, CharTokenizer::from_text(kTinyText, true));
    EXPECT_NEAR(seen, mean_loss(model, heldout), 1e-5) << type;
  }
}

TEST(QuantizedTraining, ProductsInBf16LearnAboutTheSame) {
  if (!has_bf16_products()) GTEST_SKIP() << "no bf16 products here";
  const Sequences data = words(200, 16);
  TrainOptions o = quantized_options("llama", "int3:g8", 100);
  const TrainResult wide = train(o, data);
  o.step.bf16 = true;
  const TrainResult narrow = train(o, data);
  expect_same_bytes(narrow, train(o, data, 3));
  EXPECT_NE(narrow.losses.back(), wide.losses.back());
  EXPECT_NEAR(narrow.losses.back(), wide.losses.back(), 0.15);
  EXPECT_NEAR(narrow.losses.front(), wide.losses.front(), 0.01);
}

// With inputs in 8 bits, too: the packed model's kernels read the same codes.
TEST(QuantizedTraining, InputsAreRoundedAsTheModelRoundsThem) {
  const Sequences data = words(200, 16), heldout = {data[7], data[11], data[13]};
  for (const char* scheme : {"int8:a8", "int4:g8:a8"}) {
    for (const char* type : {"gpt2", "llama", "mixtral"}) {
      const TrainOptions o = quantized_options(type, scheme, 60);
      TrainOptions without = o;
      for (auto& [name, s] : without.quantization.schemes) s.activations = ActivationType::none;
      Trainer trainer(o, data), plain(without, data);
      trainer.run(Exec{});
      plain.run(Exec{});
      const TrainResult got = trainer.result();
      EXPECT_NE(got.losses, plain.result().losses);
      WeightMap weights;
      for (const auto& [name, w] : got.weights) weights.emplace(name, w);
      for (const auto& [name, q] : got.quantized) weights.emplace(name, q);
      const Model model{"", o.config, weights_in_memory(weights, {}), nullptr};
      EXPECT_NEAR(trainer.measure(heldout, Exec{}).loss, mean_loss(model, heldout), 2e-3)
          << scheme << type;
      EXPECT_LT(got.losses.back(), 2.6F);
    }
  }
  EXPECT_THROW(Trainer(quantized_options("llama", "int8:a8static", 5), data), Error);
}

TEST(QuantizedTraining, BeginsWhenItIsTold) {
  const Sequences data = words(100, 16);
  TrainOptions o = quantized_options("llama", "int2:g8", 20), plain = o;
  plain.quantization = {};
  o.quantization.begin = 10;
  const TrainResult late = train(o, data), never = train(plain, data);
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(late.losses[i], never.losses[i]);
  EXPECT_NE(late.losses[10], never.losses[10]);
}

TEST(QuantizedTraining, ResumedRunEndsBitEqual) {
  const Sequences data = words(100, 16);
  const std::string path = testing::TempDir() + "fake.ckpt";
  for (const char* scheme : {"int2:g8", "int3:g8:asym", "q4_1"}) {
    TrainOptions o = quantized_options("llama", scheme, 40);
    o.quantization.begin = 5;
    o.quantization.refresh = 7;
    for (const int64_t stop : {3, 5, 6, 12, 30}) {
      Trainer first(o, data);
      first.run(Exec{}, {}, stop);
      first.save_checkpoint(path);
      Trainer second(o, data);
      second.load_checkpoint(path);
      second.run(Exec{});
      expect_same_bytes(train(o, data), second.result());
    }
  }
}

}  // namespace
}  // namespace nibble
