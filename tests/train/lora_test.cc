// LoRA: the gradients of A and B, what a run over packed weights learns, and the bytes it holds.
#include <gtest/gtest.h>

#include <cmath>

#include "nibble/core/float_formats.h"
#include "nibble/model/adapter_names.h"
#include "nibble/quant/rtn.h"
#include "nibble/train/decoder_step.h"
#include "nibble/train/lora_parts.h"
#include "tests/support/temp_folder.h"
#include "tests/train/gradient_check.h"
#include "tests/train/tiny_runs.h"

namespace nibble {
namespace {

using namespace test;

// A decoder in f64 with two changes at every matrix of its layers: one of all outputs and one of
// the second half, both with dropout.
class LowRankCheck {
 public:
  explicit LowRankCheck(const DecoderConfig& config)
      : layout_(make_layout(config)), batch_(gradient_batch(config)) {
    PyRandom random(5);
    draw_weights(layout_, 0.3, random, weights_.data());
    transpose_weights(layout_, ops_, weights_.data(), frozen_turned_.data());
    view_ = view_of(layout_, weights_.data(), frozen_turned_.data());
    for (size_t i = 0; i < view_.layers.size(); ++i) {
      for (auto& site : view_.layers[i].sites)
        for (MatrixView<double>& m : site) place(m);
    }
    thin_ = Buffer<double>(flat_.size);
    for (double& v : thin_) v = random.gauss(0, 0.3);
    turned_ = Buffer<double>(flat_.transposed_size);
    for (size_t i = 0; i < changed_.size(); ++i) {
      changes_.push_back({change(2 * i, 0), change(2 * i + 1, changed_[i]->n / 2)});
      changed_[i]->added = changes_.back();
    }
  }

  double loss(double* gradient) {
    transpose_weights(flat_, ops_, thin_.data(), turned_.data());
    const double scale = 1.0 / static_cast<double>(batch_.targets());
    const auto slopes = decoder_parts<double>(
        layout_.config, layout_.plans,
        [=](const ParamKey&) {
          return MatrixSlope<double>{nullptr, nullptr, gradient};
        },
        [](const ParamKey&) -> double* { return nullptr; });
    const Chunk all{0, batch_.sequences(), 0, batch_.rows()};
    return pass_.run(view_, batch_, all, scale, &slopes) * scale;
  }

  double worst_error(int64_t stride) {
    Buffer<double> gradient(flat_.size), unused(flat_.size);
    loss(gradient.data());
    double worst = 0;
    for (int64_t i = 0; i < flat_.size; i += stride) {
      const double kept = thin_[i];
      thin_[i] = kept + kGradientStep;
      const double above = loss(unused.data());
      thin_[i] = kept - kGradientStep;
      const double below = loss(unused.data());
      thin_[i] = kept;
      largest = std::max(largest, std::abs(gradient[i]));
      worst = std::max(worst, std::abs(gradient[i] - (above - below) / (2 * kGradientStep)));
    }
    return worst;
  }

  double largest = 0;

 private:
  static constexpr int64_t kRank = 3;
  void place(MatrixView<double>& m) {
    changed_.push_back(&m);
    for (const int64_t first : {int64_t{0}, m.n / 2}) {
      for (const auto& [n, k] : {std::pair(kRank, m.k), std::pair(m.n - first, kRank)}) {
        flat_.add_product({flat_.size, -1, n, k});
        flat_.size += round_up(n * k, kTrainAlign);
      }
    }
  }
  LowRankView<double> change(size_t number, int64_t first) const {
    const MatrixView<double>& m = *changed_[number / 2];
    const MatrixSlot &a = flat_.products[2 * number], &b = flat_.products[2 * number + 1];
    return {first,
            m.n - first,
            m.k,
            kRank,
            1.5,
            thin_.data() + a.weight,
            thin_.data() + b.weight,
            turned_.data() + a.transposed,
            turned_.data() + b.transposed,
            a.ld,
            b.ld,
            a.weight,
            b.weight,
            &dropout_,
            number};
  }

  const TrainOps<double>& ops_ = ref_train_ops_f64();
  const ParamLayout layout_;
  const Batch batch_;
  Buffer<double> weights_{layout_.size}, frozen_turned_{layout_.transposed_size};
  FlatLayout flat_;
  Buffer<double> thin_, turned_;
  LowRankDropout dropout_{0.25, 9, 4};
  DecoderView<double> view_;
  std::vector<MatrixView<double>*> changed_;
  std::vector<std::vector<LowRankView<double>>> changes_;
  DecoderGradient<double> pass_{layout_.config, layout_.plans, ops_};
};

TEST(Lora, GradientsOfEveryArchitecture) {
  for (const char* type : {"llama", "gpt2", "opt", "mixtral", "gemma2", "lfm2", "qwen3"}) {
    DecoderConfig config = tiny_decoder_config(type);
    config.context = 6;
    LowRankCheck check(config);
    const double worst = check.worst_error(29);
    EXPECT_LT(worst, kWorstGradient) << type;
    EXPECT_GT(check.largest, 1e-3) << type;
  }
}

// Every matrix inside the layers.
std::vector<LoraModule> all_modules(const DecoderConfig& config) {
  std::vector<LoraModule> out;
  const AdapterNames names(config, false);
  for (const ParamSpec& p : names.table())
    if (p.is_matrix() && p.layer >= 0 && !p.bias && p.role != Role::conv)
      out.push_back({p, names.module_of(p), 4, 2.0});
  return out;
}

TrainStart over(const Model& base, double dropout = 0) {
  TrainStart out;
  out.load = [base](const ParamSpec& p) { return load_weight(base, p); };
  out.parts = [load = out.load, dropout, config = base.decoder_config()](
                  const ParamLayout& layout, const TrainOps<float>& ops) {
    return std::make_unique<LoraParts>(layout, ops, load,
                                       LoraOptions{all_modules(config), dropout, 3});
  };
  return out;
}

TrainOptions lora_options(const DecoderConfig& config, int64_t steps) {
  TrainOptions o = options_of("llama", steps);
  o.config = config;
  o.window = 16;
  o.adam.learning_rate = 0.01;
  return o;
}

TrainResult run_lora(const Model& base, int64_t steps, int threads, double dropout = 0) {
  const Sequences data = words(200, 16);
  Trainer trainer(lora_options(base.decoder_config(), steps), data, over(base, dropout));
  Exec exec;
  exec.threads = threads;
  trainer.run(exec);
  return trainer.result();
}

// The quantized weights as they are, or the floats that they stand for.
Model quantized(const Model& base, const std::string& scheme, bool as_floats) {
  Model out = base;
  WeightMap weights;
  for (const ParamSpec& p : parameter_table(base.config)) {
    Weight w = load_weight(base, p);
    if (p.is_matrix() && p.layer >= 0 && scheme == "bf16")
      w = convert(w.plain(), DType::bf16);
    else if (p.is_matrix() && p.layer >= 0)
      w = quantize_rtn(w.plain(), parse_scheme(scheme), {}, p.name);
    weights.emplace(p.name, as_floats ? Weight(w.floats()) : w);
  }
  out.weights = weights_in_memory(std::move(weights));
  return out;
}

TEST(Lora, LearnsTheSameFromPackedWeightsAsFromTheirFloats) {
  const Model base = tiny_decoder(blocky_decoder_config(2), 4);
  for (const char* scheme : {"nf4:g64", "int4:g32:asym", "int3:g64", "q4_k", "q6_k", "bf16"}) {
    const TrainResult packed = run_lora(quantized(base, scheme, false), 5, 2),
                      floats = run_lora(quantized(base, scheme, true), 5, 2);
    for (size_t s = 0; s < packed.losses.size(); ++s)
      EXPECT_NEAR(packed.losses[s], floats.losses[s], 1e-5) << scheme << ", step " << s;
    EXPECT_LT(packed.losses.back(), packed.losses.front()) << scheme;
  }
}

TEST(Lora, GivesTheSameBytesForAnyNumberOfThreads) {
  for (const char* type : {"llama", "gpt2", "opt", "mixtral"}) {
    const Model base = tiny_decoder(tiny_decoder_config(type), 4);
    const TrainResult one = run_lora(base, 4, 1, 0.2);
    for (const int threads : {2, 3}) expect_same_bytes(one, run_lora(base, 4, threads, 0.2));
    EXPECT_NE(one.losses, run_lora(base, 4, 1, 0).losses) << type;
  }
}

TEST(Lora, GoesOnBitEqual) {
  const TempFolder folder;
  const Model base = tiny_decoder(tiny_decoder_config("llama"), 4);
  const Sequences data = words(200, 16);
  const TrainOptions o = lora_options(base.decoder_config(), 8);
  Trainer first(o, data, over(base, 0.1));
  first.run({}, {}, 3);
  first.save_checkpoint(folder / "at");
  first.run({});
  Trainer second(o, data, over(base, 0.1));
  second.load_checkpoint(folder / "at");
  second.run({});
  expect_same_bytes(first.result(), second.result());
}

// B is 0 where a run begins: the loss is the base's.
TEST(Lora, BeginsAsTheBase) {
  for (const char* type : {"llama", "gpt2", "opt", "mixtral", "gemma2", "lfm2"}) {
    const Model base = tiny_decoder(tiny_decoder_config(type), 4);
    const Sequences data = words(40, 16);
    const TrainOptions o = lora_options(base.decoder_config(), 1);
    TrainStart whole;
    whole.load = over(base).load;
    const double loss = Trainer(o, data, whole).measure(data, {}).loss;
    EXPECT_NEAR(Trainer(o, data, over(base)).measure(data, {}).loss, loss, 1e-6 * loss) << type;
  }
}

TEST(Lora, HoldsWeightsAsTheyAreStored) {
  const Model base = tiny_decoder(blocky_decoder_config(8), 4);
  const ParamLayout layout = make_layout(base.decoder_config());
  const auto bytes = [&](const Model& model) {
    const WeightLoader load = [&](const ParamSpec& p) { return load_weight(model, p); };
    const LoraParts parts(layout, best_train_ops(), load,
                          {all_modules(base.decoder_config()), 0, 3});
    return parts.frozen_bytes();
  };
  int64_t stored = 0;
  const Model packed = quantized(base, "nf4:g64", false);
  for (const ParamSpec& p : layout.table)
    stored += static_cast<int64_t>(load_weight(packed, p).bytes());
  EXPECT_LE(static_cast<double>(bytes(packed)), 1.05 * static_cast<double>(stored));
  EXPECT_LE(static_cast<double>(bytes(packed)), 0.4 * static_cast<double>(bytes(base)));
}

}  // namespace
}  // namespace nibble
