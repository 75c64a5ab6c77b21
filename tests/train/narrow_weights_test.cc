// Training with products in bf16: gradients of every parameter beside those in f32, and beside f32
// with operands that are rounded first.
#include "nibble/train/narrow_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdio>
#include <span>

#include "nibble/core/float_formats.h"
#include "nibble/core/random.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/train/initial_weights.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

// Products with weights, and those that end in their gradients, as bf16 makes them: of operands
// that are rounded first. All others (attention's) are left alone.
struct RoundingProducts {
  static inline std::span<const float> weights, transposed, gradient;
  static bool within(std::span<const float> all, const float* p) {
    return p >= all.data() && p < all.data() + all.size();
  }
  static void product(const TrainProduct<float>& p) {
    if (!within(weights, p.b) && !within(transposed, p.b) && !within(gradient, p.c))
      return ref_train_ops_f32().product(p);
    std::vector<float> a, b;
    for (int64_t i = 0; i < p.m; ++i)
      for (int64_t j = 0; j < p.k; ++j) a.push_back(rounded(p.a[i * p.a_row + j * p.a_column]));
    for (int64_t i = 0; i < p.k; ++i)
      for (int64_t j = 0; j < p.n; ++j) b.push_back(rounded(p.b[i * p.ldb + j]));
    ref_train_ops_f32().product(
        {p.m, p.n, p.k, a.data(), p.k, 1, b.data(), p.n, p.c, p.ldc, p.accumulate});
  }
  static float rounded(float x) { return bf16_to_f32(f32_to_bf16(x)); }
  static const TrainOps<float>& ops() {
    static const TrainOps<float> kOps = [] {
      TrainOps<float> out = best_train_ops();
      out.product = product;
      return out;
    }();
    return kOps;
  }
};

// A small model, its gradients and its loss in one pass over three sequences.
struct NarrowRun {
  NarrowRun(const DecoderConfig& config, bool in_bf16,
            const TrainOps<float>& ops = best_train_ops())
      : layout(make_layout(config)),
        weights(layout.size),
        transposed(layout.transposed_size),
        gradient(layout.size),
        narrow(layout),
        pass(layout.config, layout.plans, ops) {
    PyRandom random(5);
    draw_weights(layout, 0.2, random, weights.data());
    for (const int64_t length : {9, 1, 30}) {
      std::vector<int32_t> ids;
      for (int64_t i = 0; i <= length; ++i)
        ids.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(config.vocab_size))));
      batch.append(ids);
    }
    transpose_weights(layout, best_train_ops(), weights.data(), transposed.data());
    view = view_of<float>(layout, weights.data(), transposed.data());
    if (in_bf16) {
      for (const MatrixSlot& slot : layout.products) narrow.round(slot, weights.data());
      narrow.put_into(view, weights.data());
    }
  }
  double run() {
    const auto all = [](const Buffer<float>& b) { return std::span(b.begin(), b.end()); };
    RoundingProducts::weights = all(weights);
    RoundingProducts::transposed = all(transposed);
    RoundingProducts::gradient = all(gradient);
    const DecoderSlopes<float> slopes = slopes_of(layout, gradient.data());
    const auto rows = static_cast<float>(batch.rows());
    return pass.run(view, batch, {0, batch.sequences(), 0, batch.rows()}, 1 / rows, &slopes) / rows;
  }

  const ParamLayout layout;
  Buffer<float> weights, transposed, gradient;
  NarrowWeights narrow;
  DecoderGradient<float> pass;
  DecoderView<float> view;
  Batch batch;
};

// |a - b| / |b| over one parameter.
double difference(const NarrowRun& a, const NarrowRun& b, size_t parameter) {
  double gap = 0, size = 0;
  const int64_t begin = a.layout.offsets[parameter];
  for (int64_t i = begin; i < begin + a.layout.table[parameter].shape.elements(); ++i) {
    gap += std::pow(double{a.gradient[i]} - b.gradient[i], 2);
    size += std::pow(double{b.gradient[i]}, 2);
  }
  return std::sqrt(gap / size);
}

// The largest over all parameters; none may be below `least`.
double largest_difference(const NarrowRun& a, const NarrowRun& b, double least) {
  double worst = 0;
  for (size_t p = 0; p < b.layout.table.size(); ++p) {
    const double far = difference(a, b, p);
    EXPECT_GE(far, least) << b.layout.table[p].name;
    worst = std::max(worst, far);
  }
  return worst;
}

// What stands behind one another, there and back: four products a layer and the head's.
double products_in_turn(const DecoderConfig& config) {
  return 2 * (4 * static_cast<double>(config.layers) + 1);
}

class NarrowTraining : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!has_bf16_products()) GTEST_SKIP() << "no bf16 products here";
    config = tiny_decoder_config(GetParam());
    config.context = 32;
  }
  DecoderConfig config;
};

// Sums in another order differ by about 2^-20, so that of the operands behind them one in 2^11 is
// near enough to a rounding boundary to fall to its other side, 2^-8 away: 2^-13.5 a product.
TEST_P(NarrowTraining, GradientsAreThoseOfRoundedOperands) {
  NarrowRun narrow(config, true), rounding(config, false, RoundingProducts::ops());
  const double loss = rounding.run();
  EXPECT_NEAR(narrow.run(), loss, loss * 0x1p-13);
  const double worst = largest_difference(narrow, rounding, 0);
  EXPECT_LT(worst, products_in_turn(config) * 0x1p-13);
  std::printf("%s: beside rounded operands %.1e at most\n", GetParam(), worst);
}

// A product rounds two factors, each by at most 2^-9 of itself.
TEST_P(NarrowTraining, GradientsAreNearlyThoseOfF32) {
  NarrowRun narrow(config, true), wide(config, false);
  const double loss = wide.run();
  EXPECT_NEAR(narrow.run(), loss, loss * 0x1p-8);
  const double worst = largest_difference(narrow, wide, 1e-6);
  EXPECT_LT(worst, products_in_turn(config) * 0x1p-8);
  std::printf("%s: beside f32 %.1e at most\n", GetParam(), worst);
}

INSTANTIATE_TEST_SUITE_P(Of, NarrowTraining,
                         testing::Values("gpt2", "llama", "qwen3", "gemma2", "lfm2"));

// A router decides: its weights stay what they are.
TEST(NarrowWeights, RoutersAreNotRounded) {
  const NarrowRun run(tiny_decoder_config("mixtral"), true);
  for (const auto& layer : run.view.layers) {
    EXPECT_NE(layer.router.weight, nullptr);
    EXPECT_EQ(layer.router.narrow, nullptr);
    for (const auto& site : layer.sites)
      for (const MatrixView<float>& m : site) EXPECT_NE(m.narrow, nullptr);
  }
  EXPECT_NE(run.view.head.matrix.narrow, nullptr);
}

}  // namespace
}  // namespace nibble
