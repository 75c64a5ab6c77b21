// Models of published shapes with random weights.
#include "nibble/model/shapes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/expect_error.h"

namespace nibble {
namespace {

TEST(Shapes, HaveThePublishedSizes) {
  const std::pair<const char*, int64_t> sizes[] = {{"gpt2-124m", 124'439'808},
                                                   {"llama-1b", 1'100'048'384},
                                                   {"qwen2-0.5b", 494'032'768},
                                                   {"stories260k", 260'032}};
  ASSERT_EQ(shape_names().size(), std::size(sizes));
  for (const auto& [name, parameters] : sizes) {
    const Model model = random_model(name, 1);
    EXPECT_EQ(parameter_count(model.decoder_config()), parameters) << name;
    EXPECT_EQ(model.weights->file_bytes(), 4 * parameters) << name << ": nothing was made";
  }
  test::expect_error(ErrorKind::invalid_argument,
                     "\"gpt3\": use one of gpt2-124m, llama-1b, qwen2-0.5b, stories260k",
                     [] { random_model("gpt3", 1); });
}

TEST(Shapes, WeightsAreUniformAndGainsAreOne) {
  const Model model = random_model("stories260k", 1);
  const Tensor table = model.weights->get("model.embed_tokens.weight").plain();
  // A uniform distribution of deviation 0.02 ends at 0.02 sqrt(3); its kurtosis is 9/5.
  const auto values = table.data<float>();
  double sum = 0, squares = 0, fourth = 0;
  float least = 0, most = 0;
  for (const float v : values) {
    sum += v, squares += double{v} * v, fourth += double{v} * v * v * v;
    least = std::min(least, v), most = std::max(most, v);
  }
  const auto n = static_cast<double>(values.size());
  EXPECT_NEAR(sum / n, 0, 4e-4);
  EXPECT_NEAR(std::sqrt(squares / n), 0.02, 2e-4);
  EXPECT_NEAR(fourth / n / (squares / n * squares / n), 1.8, 0.03);
  EXPECT_NEAR(most, 0.034641, 1e-5);
  EXPECT_NEAR(least, -0.034641, 1e-5);
  const Tensor gain = model.weights->get("model.norm.weight").plain();
  for (const float v : gain.data<float>()) EXPECT_EQ(v, 1);
}

TEST(Shapes, TheSameSeedIsTheSameModel) {
  const auto first_of = [](uint64_t seed, const std::string& name) {
    const Model model = random_model("stories260k", seed);
    const Tensor t = model.weights->get(name).plain();
    return std::vector<float>(t.data<float>().begin(), t.data<float>().end());
  };
  const std::string q = "model.layers.0.self_attn.q_proj.weight",
                    o = "model.layers.0.self_attn.o_proj.weight";
  EXPECT_EQ(first_of(1, q), first_of(1, q));
  EXPECT_NE(first_of(1, q), first_of(2, q));
  EXPECT_NE(first_of(1, q), first_of(1, o)) << "no two tensors alike";
}

TEST(Shapes, TensorsThatAreNotThereAreNone) {
  const Model model = random_model("stories260k", 1);
  EXPECT_FALSE(model.weights->stored_as("model.norm.weight").scheme);
  test::expect_error(ErrorKind::not_found, "tensor \"norm\"",
                     [&] { (void)model.weights->stored_as("norm"); });
  test::expect_error(ErrorKind::not_found, "tensor \"norm\"",
                     [&] { (void)model.weights->get("norm"); });
}

}  // namespace
}  // namespace nibble
