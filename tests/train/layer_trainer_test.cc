// One layer trained by itself: for every architecture it comes nearer to what it is to give, and
// what it is measured by is the packed weights.
#include "nibble/train/layer_trainer.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include <cmath>
#include <numeric>

#include "nibble/core/random.h"
#include "nibble/quant/rtn.h"
#include "nibble/train/adam_schedule.h"
#include "nibble/train/trainer.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

constexpr int64_t kRowsOfSample = 12;
constexpr int kSamples = 8, kTrained = 1;

// Rows, what the layer of floats makes of them, and its quantized weights.
class LayerToTrain {
 public:
  explicit LayerToTrain(const std::string& type, const std::string& scheme = "int3:g8")
      : model_(tiny_decoder(tiny_decoder_config(type), 5)),
        metric_{{0, width() / 2, width()}, {identity(), identity()}} {
    quantization_.steady_grid = true;
    quantization_.scale_rate = 0.5;
    for (const ParamSpec& p : parameter_table(model_.config)) {
      if (p.layer != kTrained || !p.is_matrix() || p.role == Role::conv) continue;
      const QuantScheme fits = storable_scheme(parse_scheme(scheme), p.shape[1]);
      quantization_.schemes.emplace(p.name, fits);
      quantization_.known.emplace(
          p.name, quantize_rtn(model_.weights->get(p.name).plain(), fits, {}, p.name));
    }
    PyRandom random(3);
    for (int s = 0; s < kSamples; ++s) {
      x_.emplace_back(kRowsOfSample * width());
      for (float& v : x_.back()) v = static_cast<float>(random.gauss(0, 1));
      wanted_.push_back(output_of_floats(x_.back()));
    }
    std::iota(all_.begin(), all_.end(), 0U);
  }

  LayerTrainer trainer(const WeightLoader& load, const FakeQuantization& q) const {
    return {{model_.decoder_config(), kTrained, best_train_ops(), metric_}, load, q, false};
  }
  LayerTrainer trainer() const {
    return trainer([this](const ParamSpec& p) { return begin(p); }, quantization_);
  }
  Weight begin(const ParamSpec& p) const {
    const auto found = quantization_.known.find(p.name);
    return found == quantization_.known.end() ? load_weight(model_, p)
                                              : Weight(dequantize(found->second));
  }
  LayerSamples rows() const {
    return
        [this](size_t s, const LayerRows& f) { f(x_[s].data(), wanted_[s].data(), kRowsOfSample); };
  }
  void train(LayerTrainer& trainer, int64_t steps, int threads) const {
    const AdamOptions adam{.learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.95};
    for (int64_t i = 0; i < steps; ++i)
      trainer.step(all_, rows(), adam_of_step(adam, i, steps), threads);
  }
  double measure(LayerTrainer& trainer, int threads = 2) const {
    return trainer.measure(all_, rows(), threads);
  }
  int64_t width() const { return model_.decoder_config().hidden_size; }
  FakeQuantization quantization_;

 private:
  std::vector<float> identity() const {
    const auto n = static_cast<size_t>(width() / 2);
    std::vector<float> out(n * n);
    for (size_t i = 0; i < n; ++i) out[i * n + i] = 1;
    return out;
  }
  std::vector<float> output_of_floats(const std::vector<float>& x) const {
    const WeightRelease keep;
    const WeightLoader load = [this](const ParamSpec& p) { return load_weight(model_, p); };
    const ParameterFinder find(model_.decoder_config(), load, keep);
    const auto weights =
        load_layer_weights(model_.decoder_config(), find, kTrained, false, best_train_ops());
    LayerGradient<float> pass(model_.decoder_config(), kTrained, best_train_ops());
    Buffer<float> in = buffer_of<float>(x);
    const float* const y = pass.forward(weights.view(), kRowsOfSample, in.data());
    return {y, y + x.size()};
  }

  const Model model_;
  const OutputMetric metric_;
  std::vector<std::vector<float>> x_, wanted_;
  std::vector<size_t> all_ = std::vector<size_t>(kSamples);
};

Tensor filled(const Shape& shape) {
  Tensor out(DType::f32, shape);
  float next = 0;
  for (float& v : out.mutable_data<float>()) v = std::sin(next += 1) / 10;
  return out;
}

class LayerTrainerOn : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, LayerTrainerOn,
                         testing::Values("gpt2", "llama", "mistral", "qwen2", "qwen3", "opt",
                                         "gemma2", "lfm2", "mixtral"),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(LayerTrainerOn, ComesNearer) {
  const LayerToTrain layer(GetParam());
  LayerTrainer trainer = layer.trainer();
  const double before = layer.measure(trainer);
  layer.train(trainer, 60, 2);
  EXPECT_LT(layer.measure(trainer), 0.6 * before);
}

TEST_P(LayerTrainerOn, GivesTheSameBytesForAnyNumberOfThreads) {
  const LayerToTrain layer(GetParam());
  LayerTrainer one = layer.trainer(), three = layer.trainer();
  layer.train(one, 5, 1);
  layer.train(three, 5, 3);
  EXPECT_EQ(one.state(), three.state());
  EXPECT_EQ(layer.measure(one, 1), layer.measure(three, 3));
}

// The packed weights, read as another run's beginning, have the error that was measured.
TEST(LayerTrainer, MeasuresThePackedWeights) {
  for (const char* scheme : {"int2:g8", "int4:g8:asym", "ternary:g16", "fp8_e4m3", "int4:tensor"}) {
    const LayerToTrain layer("llama", scheme);
    LayerTrainer trainer = layer.trainer();
    layer.train(trainer, 9, 2);
    const TrainedWeights made = trainer.result();
    FakeQuantization again = layer.quantization_;
    for (auto& [name, known] : again.known) known = made.at(name).quantized();
    LayerTrainer packed = layer.trainer(
        [&](const ParamSpec& p) -> Weight {
          const auto found = again.known.find(p.name);
          return found == again.known.end() ? layer.begin(p) : Weight(dequantize(found->second));
        },
        again);
    EXPECT_EQ(layer.measure(trainer), layer.measure(packed)) << scheme;
  }
}

TEST(LayerTrainer, GoesBackToWhatWasKept) {
  for (const char* scheme : {"int3:g8", "q4_1"}) {
    const LayerToTrain layer("gpt2", scheme);
    LayerTrainer trainer = layer.trainer();
    layer.train(trainer, 3, 2);
    const double then = layer.measure(trainer);
    const std::vector<float> kept = trainer.state();
    layer.train(trainer, 30, 2);
    EXPECT_NE(layer.measure(trainer), then) << scheme;
    trainer.restore(kept);
    EXPECT_EQ(layer.measure(trainer), then) << scheme;
  }
}

// Norms, biases and (where only scales are learnt) codes stay.
TEST(LayerTrainer, LearnsOnlyWhatIsAsked) {
  LayerToTrain layer("gpt2");
  layer.quantization_.only_scales = true;
  LayerTrainer trainer = layer.trainer();
  const double before = layer.measure(trainer);
  layer.train(trainer, 20, 2);
  EXPECT_LT(layer.measure(trainer), before);
  for (const auto& [name, weight] : trainer.result()) {
    const auto known = layer.quantization_.known.find(name);
    if (known == layer.quantization_.known.end()) continue;
    const auto was = known->second.codes.data<uint8_t>();
    const auto is = weight.quantized().codes.data<uint8_t>();
    EXPECT_TRUE(std::equal(was.begin(), was.end(), is.begin(), is.end())) << name;
    EXPECT_NE(weight.quantized().scale(0), known->second.scale(0)) << name;
  }
}

// Bytes that the program has of its allocator.
int64_t held_bytes() {
  const struct mallinfo2 m = mallinfo2();
  return static_cast<int64_t>(m.uordblks + m.hblkhd);
}

// In gpt2-shakespeare's shape, in steps of 8 samples of 256 tokens; a teacher would come on top.
TEST(LayerTrainer, TakesAThirdOfWhatTheWholeModelTakes) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer's allocator does not tell what it holds";
#endif
  DecoderConfig c = tiny_decoder_config("gpt2");
  c.vocab_size = 2048, c.layers = c.heads = c.kv_heads = 6, c.hidden_size = 192, c.head_dim = 32;
  c.intermediate_size = 768, c.context = 256;
  FakeQuantization q;
  for (const ParamSpec& p : parameter_table(c))
    if (p.is_matrix() && p.layer >= 0) q.schemes.emplace(p.name, parse_scheme("int2:g32"));
  TrainOptions options;
  options.config = c, options.batch = 8, options.steps = 1, options.quantization = q;
  const std::vector<std::vector<int32_t>> data(8, std::vector<int32_t>(257, 1));
  int64_t before = held_bytes();
  int64_t whole = 0;
  Exec two;
  two.threads = 2;
  {
    Trainer trainer(options, data);
    trainer.run(two);
    whole = held_bytes() - before;
  }
  const OutputMetric metric{{0, 192}, {std::vector<float>(192 * 192, 0.5f)}};
  const std::vector<float> rows(256 * 192, 0.5f);
  before = held_bytes();
  LayerTrainer trainer(
      {c, 2, best_train_ops(), metric},
      [](const ParamSpec& p) -> Weight { return filled(p.shape); }, q, false);
  std::vector<size_t> samples(8);
  const LayerSamples same = [&](size_t, const LayerRows& f) { f(rows.data(), rows.data(), 256); };
  trainer.step(samples, same, adam_of_step({}, 0, 1), 2);
  EXPECT_LT(held_bytes() - before, whole / 3);
}

// On a steady grid the gradient by a step size is exact.
TEST(FakeQuantizerSteadyGrid, GradientOfStepSizesIsExact) {
  constexpr int64_t kRows = 3, kColumns = 16;
  PyRandom random(4);
  Tensor w(DType::f32, {kRows, kColumns});
  for (float& v : w.mutable_data<float>()) v = static_cast<float>(random.gauss(0, 0.2));
  for (const char* scheme : {"int2:g8", "int4:g8", "nf4:g8"}) {
    FakeQuantizer fake(parse_scheme(scheme), w.shape(), DType::f32, true);
    fake.settle(first_guess(w, parse_scheme(scheme), DType::f32, "w", 1));
    std::vector<float> slope(kRows * kColumns), t(static_cast<size_t>(fake.learnt())),
        found(t.size()), made(slope.size());
    for (float& g : slope) g = static_cast<float>(random.gauss(0, 1));
    const auto loss = [&](size_t i, float moved) {
      std::vector<float> at = t;
      at[i] += moved;
      fake.follow(at.data());
      fake.make(w.data<float>().data(), made.data());
      return std::inner_product(made.begin(), made.end(), slope.begin(), 0.0);
    };
    std::vector<double> wanted;
    for (size_t i = 0; i < t.size(); ++i)
      wanted.push_back((loss(i, 0.01f) - loss(i, -0.01f)) / 0.02);
    fake.follow(t.data());
    std::vector<float> g = slope;
    fake.pull_back(w.data<float>().data(), g.data(), found.data());
    for (size_t i = 0; i < t.size(); ++i)  // sinh(h) / h of exp(t), and f32
      EXPECT_NEAR(found[i], wanted[i], 1e-4 * (1 + std::fabs(wanted[i]))) << scheme << " " << i;
  }
}

}  // namespace
}  // namespace nibble
