// Logits that are not finite are an error that says where, whatever weight makes them so.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nibble/core/finite.h"
#include "nibble/nn/losses.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

class NonFinite : public ::testing::TestWithParam<std::string> {
 protected:
  const DecoderConfig config_ = tiny_decoder_config(GetParam());

  // The model with one number changed, in a place that the token 1 at position 0 reads.
  Model with(const ParamSpec& p, float value) const {
    Model model = tiny_decoder(config_, 3);
    TensorMap weights;
    for (const ParamSpec& t : parameter_table(model.config))
      weights.emplace(t.name, model.weights->get(t.name).plain().clone());
    const int64_t row = p.role == Role::token_embedding      ? 1
                        : p.role == Role::position_embedding ? config_.position_offset
                                                             : 0;
    const size_t at = p.is_matrix() ? static_cast<size_t>(row * p.shape[1]) : 0;
    weights.at(p.name).mutable_data<float>()[at] = value;
    return in_memory(config_, std::move(weights), CharTokenizer::from_text(kTinyText, true));
  }
};

// An expert that no row was sent to is not read.
bool is_surely_read(const ParamSpec& p) { return p.expert < 0; }

// What makes a finite number of infinity, as it is right: ReLU of -infinity, a cap, and a router,
// which then sends no row to an expert.
bool ends_infinity(const DecoderConfig& c, const ParamSpec& p) {
  const bool capped = p.role == Role::lm_head || p.role == Role::final_norm;
  return (c.mlp == MlpKind::relu && p.role == Role::up) || (c.final_softcap > 0 && capped) ||
         p.role == Role::router;
}

TEST_P(NonFinite, NanInAnyWeightIsFound) {
  EXPECT_NO_THROW(logits_of_tokens(tiny_decoder(config_, 3), {1, 2, 3}));
  for (const ParamSpec& p : parameter_table(config_)) {
    if (!is_surely_read(p)) continue;
    SCOPED_TRACE(p.name);
    expect_error(ErrorKind::corrupt, "tensor \"" + p.name + "\": ", [&] {
      logits_of_tokens(with(p, kNan), {1, 2, 3});
    });
  }
}

TEST_P(NonFinite, InfinityInAnyWeightIsFound) {
  for (const ParamSpec& p : parameter_table(config_)) {
    if (!is_surely_read(p) || ends_infinity(config_, p)) continue;
    SCOPED_TRACE(p.name);
    for (const float value : {kInfinity, -kInfinity})
      expect_error(ErrorKind::corrupt, "is infinite (1 such value)", [&] {
        logits_of_tokens(with(p, value), {1, 2, 3});
      });
  }
}

// Their squares overflow in a norm: 0, as x / infinity is, would look like a result.
TEST_P(NonFinite, FiniteWeightsThatOverflowAreFound) {
  const ParamSpec table = parameter_table(config_).front();
  ASSERT_EQ(table.role, Role::token_embedding);
  expect_error(ErrorKind::corrupt, "behind token 1 of the text", [&] {
    logits_of_tokens(with(table, 1e30f), {1, 2, 3});
  });
  // Only the third token's row: the first two positions are fine.
  expect_error(ErrorKind::corrupt, "behind token 3 of the text", [&] {
    logits_of_tokens(with(table, 1e30f), {2, 3, 1});
  });
}

INSTANTIATE_TEST_SUITE_P(Architectures, NonFinite,
                         ::testing::Values("micro_gpt", "gpt2", "llama", "mistral", "qwen2",
                                           "qwen3", "opt", "gemma2", "lfm2", "mixtral"),
                         [](const auto& of) { return of.param; });

TEST(NonFiniteWeights, AreNamedWhereTheModelIsOnDisk) {
  const test::TempFolder folder;
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  const DecoderConfig config = tiny_config(tokenizer);
  TensorMap weights = random_weights(config, 7);
  const std::string name = "layers.0.mlp.fc2.weight";
  weights.at(name).mutable_data<float>()[5] = kNan;
  write_model(folder.path(), config, weights, &tokenizer);
  Model model = open_model(folder.path());
  expect_error(ErrorKind::corrupt, folder.path() + ": tensor \"" + name + "\": row 0 col 5 is NaN",
               [&] { refuse_nonfinite_weights(model); });
  const Decoder decoder = load_decoder(model);
  model.weights.reset();
  KvCache cache = decoder.make_cache(4);
  const std::vector<int32_t> ids = {1, 2};
  expect_error(ErrorKind::corrupt, folder.path() + ": tensor \"" + name + "\": row 0 col 5 is NaN",
               [&] { decoder.forward(ids, cache, Decoder::Logits::last, Exec{}); });
}

TEST(Losses, NanIsNotHidden) {
  const std::vector<float> base = {1, 2, 3}, bad = {1, kNan, 3};
  EXPECT_TRUE(std::isnan(kl_divergence(base, bad)));
  EXPECT_TRUE(std::isnan(kl_divergence(bad, base)));
  EXPECT_EQ(kl_divergence(base, base), 0);
  EXPECT_TRUE(all_finite(base));
  for (const float v : {kNan, -kNan, kInfinity, -kInfinity}) {
    std::vector<float> x(100, 1);
    x[77] = v;
    EXPECT_FALSE(all_finite(x));
  }
  EXPECT_TRUE(all_finite({}));
}

}  // namespace
}  // namespace nibble
