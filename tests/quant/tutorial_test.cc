#include "tests/support/tutorial.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "nibble/core/error.h"
#include "tests/support/shared.h"

namespace nibble::tutorial {
namespace {

using Json = nlohmann::json;

constexpr const char* kGolden = "../shared/golden/quantizers.json";

Quantized run_tutorial(const Tensor& x, const Json& c) {
  const int bits = c["bits"];
  const bool symmetric = c["scheme"] == "symmetric";
  const std::string granularity = c["granularity"];
  if (granularity == "tensor")
    return symmetric ? symmetric_per_tensor(x, bits) : asymmetric_per_tensor(x, bits);
  if (granularity == "channel")
    return symmetric ? symmetric_per_channel(x, bits, 0) : asymmetric_per_channel(x, bits, 0);
  return symmetric ? symmetric_per_group(x, bits, 16) : asymmetric_per_group(x, bits, 16);
}

// Codes, scales and zero points computed by PyTorch (make_quantizers.py beside the file).
TEST(Tutorial, ReproducesEveryGoldenCaseExactly) {
  if (test::lacks_shared(kGolden)) GTEST_SKIP() << kGolden;
  std::ifstream file(kGolden);
  Json all = Json::parse(file);
  int checked = 0;
  for (const Json& c : all["cases"]) {
    const Json& input = all["inputs"][c["input"].get<std::string>()];
    const auto values = input["values"].get<std::vector<float>>();
    const auto dims = input["shape"].get<std::vector<int64_t>>();
    const Tensor x = Tensor::from<float>(Shape(dims), values);
    const Quantized q = run_tutorial(x, c);
    const std::string label = c["input"].get<std::string>() + " " +
                              c["granularity"].get<std::string>() + " " +
                              c["scheme"].get<std::string>() + " " + c["bits"].dump();
    EXPECT_EQ(q.codes, c["codes"].get<std::vector<int32_t>>()) << label;
    EXPECT_EQ(q.scales, c["scales"].get<std::vector<float>>()) << label;
    if (c.contains("zero_points")) {
      EXPECT_EQ(q.zero_points, c["zero_points"].get<std::vector<int32_t>>()) << label;
    } else {
      EXPECT_TRUE(q.zero_points.empty());
    }
    ++checked;
  }
  EXPECT_EQ(checked, 252);
}

// A column axis: the same as transposing, quantizing rows, and transposing back.
TEST(Tutorial, AxisOneIsAxisZeroOfTheTranspose) {
  const std::vector<float> values{1, -20, 300, 0.5f, 7, -90}, turned{1, 0.5f, -20, 7, 300, -90};
  const Quantized by_column = symmetric_per_channel(Tensor::from<float>(Shape{2, 3}, values), 8, 1);
  const Quantized by_row = symmetric_per_channel(Tensor::from<float>(Shape{3, 2}, turned), 8, 0);
  EXPECT_EQ(by_column.scales, by_row.scales);
  for (size_t r = 0; r < 2; ++r) {
    for (size_t c = 0; c < 3; ++c) EXPECT_EQ(by_column.codes[r * 3 + c], by_row.codes[c * 2 + r]);
  }
}

TEST(Tutorial, MiddleAxisOfThreeTakesItsRangeOverTheOthers) {
  std::vector<float> values(2 * 3 * 4, 0.25f);
  values[1 * 12 + 2 * 4 + 3] = -127;  // index [1, 2, 3]
  const Tensor x = Tensor::from<float>(Shape{2, 3, 4}, values);
  const Quantized q = symmetric_per_channel(x, 8, 1);
  EXPECT_EQ(q.scales, (std::vector<float>{0.25f / 127, 0.25f / 127, 1}));
  EXPECT_EQ(q.codes[23], -127);
  EXPECT_EQ(q.codes[0 * 12 + 2 * 4], 0);
  EXPECT_EQ(q.codes[0], 127);
  const Tensor back = dequantize(q);
  EXPECT_EQ(back.shape(), x.shape());
  EXPECT_FLOAT_EQ(back.data<float>()[0], 0.25f);
  EXPECT_EQ(back.data<float>()[23], -127);
}

TEST(Tutorial, AsymmetricOneSidedRangeIsNotExtended) {
  const std::vector<float> values{3, 4, 3.5f, 3.25f};
  const Quantized q = asymmetric_per_tensor(Tensor::from<float>(Shape{4}, values), 4);
  EXPECT_EQ(q.scales, (std::vector<float>{1.0f / 15}));
  EXPECT_EQ(q.zero_points, (std::vector<int32_t>{0}));
  EXPECT_EQ(q.codes, (std::vector<int32_t>{15, 15, 15, 15}));
}

TEST(Tutorial, RefusesBadArguments) {
  const Tensor x = Tensor::from<float>(Shape{2, 2}, std::vector<float>{1, 2, 3, 4});
  EXPECT_THROW(symmetric_per_tensor(x, 1), Error);
  EXPECT_THROW(symmetric_per_tensor(x, 9), Error);
  EXPECT_THROW(symmetric_per_channel(x, 8, 2), Error);
  EXPECT_THROW(symmetric_per_group(x, 8, 3), Error);
  EXPECT_THROW(symmetric_per_group(x, 8, 0), Error);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(symmetric_per_tensor(Tensor::from<float>(Shape{2}, std::vector<float>{1, nan}), 8),
               Error);
}

}  // namespace
}  // namespace nibble::tutorial
