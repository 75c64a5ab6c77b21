// Outputs of a classifier that are not finite are no accuracy.
#include <gtest/gtest.h>

#include <cmath>

#include "nibble/eval/measure.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

const MlpConfig kConfig{{4, 6, 3}};

Model mlp(const std::string& name, float value) {
  TensorMap weights = random_weights(kConfig, 3);
  if (!name.empty()) weights.at(name).mutable_data<float>()[0] = value;
  Model out;
  out.config = kConfig;
  out.weights = weights_in_memory(weights);
  return out;
}

TEST(MeasureClassifier, OutputsThatAreNotFiniteAreAnError) {
  const ClassifierData data{{0.5f, 1, 2, 3, 1, 1, 1, 1}, {0, 1}, 2};
  const Model good = mlp("", 0);
  EXPECT_EQ(measure_classifier("good", good, good, data, 0, Exec{}).prediction_agreement, 1.0);
  for (const char* name : {"fc1.weight", "fc2.bias"}) {
    const Model bad = mlp(name, std::nanf(""));
    const std::string words = "tensor \"" + std::string(name) + "\": ";
    test::expect_error(ErrorKind::corrupt, words,
                       [&] { measure_classifier("bad", bad, good, data, 0, Exec{}); });
    test::expect_error(ErrorKind::corrupt, words,
                       [&] { measure_classifier("bad", good, bad, data, 0, Exec{}); });
  }
  const Model large = mlp("fc2.bias", 3e38f);
  EXPECT_NO_THROW(measure_classifier("large", large, large, data, 0, Exec{}));
  Model larger = mlp("fc2.weight", 3e38f);
  test::expect_error(ErrorKind::corrupt, "outputs are not finite", [&] {
    measure_classifier("larger", larger, good, {{1e3f, 1e3f, 1e3f, 1e3f}, {0}, 1}, 0, Exec{});
  });
}

}  // namespace
}  // namespace nibble
