// The multilayer perceptron by hand, and the configs that are none.
#include <gtest/gtest.h>

#include "nibble/model/mlp_model.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

MlpConfig mlp_of(const std::string& sizes) {
  return read_mlp_config(JsonFields::parse("{\"sizes\": " + sizes + "}"));
}

// Weights count up by quarters from -1, biases are 0.5.
Weight counted_weight(const ParamSpec& p) {
  std::vector<float> values(static_cast<size_t>(p.shape.elements()), 0.5f);
  for (size_t i = 0; p.is_matrix() && i < values.size(); ++i)
    values[i] = -1 + 0.25f * static_cast<float>(i);
  return Tensor::from<float>(p.shape, values);
}

TEST(Mlp, IsProductsWithReluBetweenThem) {
  const Mlp model(mlp_of("[2, 3, 2]"), counted_weight, {});
  // Layer 1 is [-1 -.75; -.5 -.25; 0 .25], layer 2 is [-1 -.75 -.5; -.25 0 .25].
  const std::vector<float> x = {4, -4, -2, 0};
  // Rows: (4, -4) gives (-.5, -.5, -.5); (-2, 0) gives (2.5, 1.5, .5).
  const std::vector<float> y = model.forward(x, 2, Exec{});
  EXPECT_EQ(
      y, (std::vector<float>{0.5f, 0.5f, -2.5f - 1.125f - 0.25f + 0.5f, -0.625f + 0.125f + 0.5f}))
      << "what is below 0 is cut between the layers, and kept behind the last";
}

TEST(Mlp, TellsItsSizes) {
  const MlpConfig config = mlp_of("[2, 3, 2]");
  const Mlp model(config, counted_weight, {});
  int64_t inputs = 0, outputs = 0;
  model.for_each_linear([&](const LinearGroup& g, size_t i) {
    inputs += g.inputs();
    outputs += g.outputs(i);
  });
  EXPECT_EQ(inputs, 2 + 3);
  EXPECT_EQ(outputs, 3 + 2);
}

TEST(Mlp, ConfigsComeBack) {
  const MlpConfig config = mlp_of("[784, 128, 10]");
  EXPECT_EQ(config.sizes, (std::vector<int64_t>{784, 128, 10}));
  JsonWriter out;
  out.begin_object();
  write_mlp_config(config, out);
  out.end_object();
  EXPECT_EQ(read_mlp_config(JsonFields::parse(out.finish())).sizes, config.sizes);
}

TEST(Mlp, RefusesWidthsThatCannotBe) {
  for (const char* sizes : {"[]", "[5]"})
    expect_error(ErrorKind::corrupt, "key \"sizes\": must list 2 to 1000 widths",
                 [&] { mlp_of(sizes); });
  std::string many = "[1";
  for (int i = 0; i < 1000; ++i) many += ", 1";
  expect_error(ErrorKind::corrupt, "must list 2 to 1000 widths", [&] { mlp_of(many + "]"); });
  for (const char* sizes : {"[2, 0]", "[-1, 2]", "[2, 16777217]"})
    expect_error(ErrorKind::corrupt, "key \"sizes\": must be between 1 and 16777216",
                 [&] { mlp_of(sizes); });
  expect_error(ErrorKind::corrupt, "\"sizes", [] { mlp_of("[2, 2.5]"); });
}

TEST(Mlp, RefusesAWeightOfAnotherShape) {
  const WeightLoader turned = [](const ParamSpec& p) -> Weight {
    if (!p.is_matrix()) return counted_weight(p);
    return Tensor(DType::f32, Shape{p.shape[1], p.shape[0]});
  };
  expect_error(ErrorKind::corrupt, "by config.json, found [2, 3]",
               [&] { Mlp(mlp_of("[2, 3, 2]"), turned, {}); });
}

}  // namespace
}  // namespace nibble
