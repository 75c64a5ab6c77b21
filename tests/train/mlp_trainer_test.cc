#include "nibble/train/mlp_trainer.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/train/mlp_pass.h"
#include "tests/support/shared.h"

namespace nibble {
namespace {

// Two classes, told apart by the sign of the sum of the inputs.
struct Toy {
  std::vector<float> inputs;
  std::vector<uint8_t> labels;
};
Toy make_toy(size_t n, size_t width) {
  PyRandom random(4);
  Toy toy;
  for (size_t i = 0; i < n; ++i) {
    double sum = 0;
    for (size_t j = 0; j < width; ++j) {
      toy.inputs.push_back(static_cast<float>(random.gauss(0, 1)));
      sum += toy.inputs.back();
    }
    toy.labels.push_back(sum > 0 ? 1 : 0);
  }
  return toy;
}

MlpTrainOptions toy_options() {
  MlpTrainOptions o;
  o.config.sizes = {5, 12, 7, 2};
  o.steps = 200;
  o.batch = 96;
  o.adam.learning_rate = 0.01;
  return o;
}

std::vector<float> outputs(const TensorMap& w, const MlpConfig& config, const float* x) {
  std::vector<float> in(x, x + config.sizes[0]), out;
  for (size_t layer = 1; layer < config.sizes.size(); ++layer) {
    const std::string name = "fc" + std::to_string(layer);
    const auto weight = w.at(name + ".weight").data<float>(),
               bias = w.at(name + ".bias").data<float>();
    out.assign(bias.begin(), bias.end());
    for (size_t i = 0; i < out.size(); ++i) {
      for (size_t j = 0; j < in.size(); ++j) out[i] += weight[i * in.size() + j] * in[j];
      if (layer + 1 < config.sizes.size()) out[i] = std::max(out[i], 0.0f);
    }
    in = out;
  }
  return out;
}

double accuracy(const TensorMap& w, const MlpConfig& config, std::span<const float> x,
                std::span<const uint8_t> labels) {
  int right = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    const auto y = outputs(w, config, x.data() + i * static_cast<size_t>(config.sizes[0]));
    right += std::max_element(y.begin(), y.end()) - y.begin() == labels[i] ? 1 : 0;
  }
  return right / static_cast<double>(labels.size());
}

TEST(MlpTrainer, Learns) {
  const Toy toy = make_toy(400, 5);
  const MlpTrainOptions o = toy_options();
  const TrainResult r = train_mlp(o, toy.inputs, toy.labels, Exec{});
  EXPECT_NEAR(r.losses.front(), 0.7, 0.1);
  EXPECT_LT(r.losses.back(), 0.1f);
  EXPECT_GT(accuracy(r.weights, o.config, toy.inputs, toy.labels), 0.97);
}

TEST(MlpTrainer, SameBytesForAnyNumberOfThreads) {
  const Toy toy = make_toy(100, 5);
  MlpTrainOptions o = toy_options();
  o.steps = 20;
  const TrainResult one = train_mlp(o, toy.inputs, toy.labels, Exec{});
  for (int threads : {2, 4}) {
    Exec exec;
    exec.threads = threads;
    const TrainResult many = train_mlp(o, toy.inputs, toy.labels, exec);
    EXPECT_EQ(one.losses, many.losses);
    for (const auto& [name, tensor] : one.weights) {
      EXPECT_EQ(std::memcmp(tensor.raw(), many.weights.at(name).raw(), tensor.bytes()), 0) << name;
    }
  }
}

TEST(MlpTrainer, GradientOfEveryParameter) {
  const MlpLayout layout = make_layout(toy_options().config);
  const TrainOps<double>& ops = ref_train_ops_f64();
  Buffer<double> weights(layout.size), gradient(layout.size), ignored(layout.size);
  PyRandom random(6);
  for (double& w : weights) w = random.gauss(0, 0.5);
  const Toy toy = make_toy(6, 5);
  const std::vector<int32_t> targets(toy.labels.begin(), toy.labels.end());
  MlpPass<double> pass(layout, ops);
  pass.reserve(6);
  const auto loss = [&](Buffer<double>& out) {
    Buffer<double> transposed(layout.transposed_size);
    for (const MatrixSlot& m : layout.products) {
      ops.transpose(m.n, m.k, weights.data() + m.weight, transposed.data() + m.transposed, m.ld);
    }
    std::copy(toy.inputs.begin(), toy.inputs.end(), pass.inputs());
    return pass.run(weights.data(), transposed.data(), 6, targets.data(), 1.0, out.data());
  };
  loss(gradient);
  for (size_t p = 0; p < layout.table.size(); ++p) {
    for (int64_t j = 0; j < layout.table[p].shape.elements(); ++j) {
      const int64_t i = layout.offsets[p] + j;
      const double kept = weights[i];
      weights[i] = kept + 1e-6;
      const double above = loss(ignored);
      weights[i] = kept - 1e-6;
      const double below = loss(ignored);
      weights[i] = kept;
      EXPECT_NEAR(gradient[i], (above - below) / 2e-6, 1e-7) << layout.table[p].name;
    }
  }
}

TEST(MlpTrainer, RandomWeights) {
  const MlpConfig config{{784, 512, 512, 10}};
  const TensorMap w = random_mlp_weights(config, 1), other = random_mlp_weights(config, 2);
  EXPECT_EQ(w.size(), 6u);
  EXPECT_EQ(w.at("fc1.weight").shape(), (Shape{512, 784}));
  float top = 0;
  for (float x : w.at("fc1.weight").data<float>()) top = std::max(top, std::abs(x));
  EXPECT_LE(top, 1.0f / 28);
  EXPECT_GT(top, 0.99f / 28);
  EXPECT_NE(w.at("fc1.weight").data<float>()[0], other.at("fc1.weight").data<float>()[0]);
}

TEST(MlpTrainer, RefusesWhatDoesNotFit) {
  const Toy toy = make_toy(10, 5);
  const auto refused = [&](auto change) {
    MlpTrainOptions o = toy_options();
    Toy data = toy;
    change(o, data);
    EXPECT_THROW(train_mlp(o, data.inputs, data.labels, Exec{}), Error);
  };
  refused([](MlpTrainOptions&, Toy& d) { d.inputs.pop_back(); });
  refused([](MlpTrainOptions&, Toy& d) { d.labels[3] = 2; });
  refused([](MlpTrainOptions&, Toy& d) { d = Toy{}; });
  refused([](MlpTrainOptions& o, Toy&) { o.steps = 0; });
  refused([](MlpTrainOptions& o, Toy&) { o.batch = 0; });
  refused([](MlpTrainOptions& o, Toy&) { o.config.sizes = {5}; });
  refused([](MlpTrainOptions& o, Toy&) { o.config.sizes = {5, 0, 2}; });
}

std::vector<uint8_t> inflate(const char* path, size_t header) {
  std::vector<uint8_t> out;
  gzFile file = gzopen(path, "rb");
  if (file == nullptr) return out;
  std::vector<uint8_t> part(1 << 16);
  for (int n; (n = gzread(file, part.data(), 1 << 16)) > 0;) {
    out.insert(out.end(), part.begin(), part.begin() + n);
  }
  gzclose(file);
  out.erase(out.begin(), out.begin() + static_cast<ptrdiff_t>(header));
  return out;
}

TEST(MlpTrainer, MnistTo94Percent) {
  if (test::lacks_shared("../shared/data/mnist")) GTEST_SKIP() << "no MNIST";
  const auto pixels = inflate("../shared/data/mnist/t10k-images-idx3-ubyte.gz", 16);
  const auto labels = inflate("../shared/data/mnist/t10k-labels-idx1-ubyte.gz", 8);
  ASSERT_EQ(labels.size(), 10000u);
  std::vector<float> x;
  for (uint8_t p : pixels) x.push_back(static_cast<float>(p) / 255.0f);
  Exec exec;
  exec.threads = 2;
  const MlpTrainOptions o;
  const std::span<const float> all(x);
  const std::span<const uint8_t> digits(labels);
  const TrainResult r = train_mlp(o, all.first(8000 * 784), digits.first(8000), exec);
  const double right = accuracy(r.weights, o.config, all.subspan(8000 * 784), digits.subspan(8000));
  EXPECT_GE(right, 0.94);
  printf("MNIST: accuracy %.4f after %.1f s\n", right, r.seconds);
}

}  // namespace
}  // namespace nibble
