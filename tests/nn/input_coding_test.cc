// int8 inputs with a static scale and with outliers kept out: products against the slow definition
// of what the inputs mean and what the weight means.
#include <gtest/gtest.h>

#include <cmath>

#include "nibble/core/random.h"
#include "nibble/nn/linear.h"
#include "nibble/quant/rtn.h"
#include "nibble/quant/static_activations.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

Exec threads_of(int threads) {
  Exec exec;
  exec.threads = threads;
  return exec;
}

std::vector<float> inputs(int64_t m, int64_t k) {
  PyRandom random(3);
  std::vector<float> x(static_cast<size_t>(m * k));
  for (float& v : x) v = static_cast<float>(random.gauss(0, 1));
  for (int64_t r = 0; r < m; r += 2) {  // every other row has outliers
    x[static_cast<size_t>(r * k + 3)] = r % 4 == 0 ? 40 : -40;
    x[static_cast<size_t>(r * k + k - 1)] = -7.5F;
  }
  return x;
}

QuantizedTensor weight(const std::string& scheme, int64_t n, int64_t k, float number) {
  PyRandom random(9);
  Tensor w(DType::f32, Shape{n, k});
  for (float& v : w.mutable_data<float>()) v = static_cast<float>(random.gauss(0, 0.1));
  QuantizedTensor q = quantize_rtn(w, parse_scheme(scheme), {}, "w");
  if (number > 0) q.activation = Tensor::from<float>(Shape{1}, std::span(&number, 1));
  return q;
}

class InputCodingTest : public testing::TestWithParam<std::string> {};

TEST_P(InputCodingTest, ProductsAreThoseOfTheDefinition) {
  const QuantScheme scheme = parse_scheme(GetParam());
  const bool fixed = scheme.activations == ActivationType::a8_static;
  const int64_t n = 70, k = 96;
  const bool full = scheme.activations == ActivationType::a8_full;
  const float number = full ? 0 : fixed ? 0.05F : 6;
  const QuantizedTensor q = weight(GetParam(), n, k, number);
  const Tensor w = dequantize(q);
  std::vector<LinearMember> members;
  members.push_back({"w", q, std::nullopt});
  const LinearGroup group(std::move(members), {});
  for (const int64_t m : {1, 2, 5, 17, 130}) {
    const std::vector<float> x = inputs(m, k);
    std::vector<float> meant = x, y(static_cast<size_t>(m * n));
    round_activations(scheme, number, number, k, meant);
    group.forward(x, m, y.data(), threads_of(2));
    for (int64_t r = 0; r < m; ++r) {
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0, size = 0;
        for (int64_t i = 0; i < k; ++i) {
          const double product = double{meant[static_cast<size_t>(r * k + i)]} *
                                 w.data<float>()[static_cast<size_t>(j * k + i)];
          sum += product;
          size += std::fabs(product);
        }
        ASSERT_NEAR(y[static_cast<size_t>(r * n + j)], sum, 1e-5 * (size + 1e-3))
            << "m " << m << " row " << r << " output " << j;
      }
    }
  }
}

TEST_P(InputCodingTest, ARowsBytesDoNotDependOnItsBatch) {
  const bool full = parse_scheme(GetParam()).activations == ActivationType::a8_full;
  const QuantizedTensor q = weight(GetParam(), 70, 96, full ? 0 : 6);
  std::vector<LinearMember> members;
  members.push_back({"w", q, std::nullopt});
  const LinearGroup group(std::move(members), {});
  const std::vector<float> x = inputs(16, 96);
  std::vector<float> all(16 * 70), one(70);
  group.forward(x, 16, all.data(), threads_of(2));
  for (size_t r = 0; r < 16; ++r) {
    group.forward(std::span(x).subspan(r * 96, 96), 1, one.data(), threads_of(1));
    for (size_t j = 0; j < 70; ++j) ASSERT_EQ(one[j], all[r * 70 + j]);
  }
}

INSTANTIATE_TEST_SUITE_P(Schemes, InputCodingTest,
                         testing::Values("int8:a8full", "int4:g32:asym:a8full", "int8:a8static",
                                         "int8:a8outlier", "int8:tensor:a8outlier",
                                         "int4:g32:a8static", "int4:g32:asym:a8outlier",
                                         "int3:g32:a8outlier", "int5:a8outlier"),
                         [](const auto& each) {
                           std::string name = each.param;
                           for (char& c : name) c = c == ':' ? '_' : c;
                           return name;
                         });

// The scale and the codes that compressed-tensors finds: torch.round(x / (absmax / 127.5)), cut to
// [-128, 127].
TEST(InputCoding, FullRowsHaveOneMoreNegativeCode) {
  const std::vector<float> row = {-255, 255, 1, 3, -1, -3, 252.9F, 0};
  std::vector<int8_t> codes(row.size(), 99);
  EXPECT_EQ(quantize_row_full(row, codes), 2);
  EXPECT_EQ(codes, (std::vector<int8_t>{-128, 127, 0, 2, 0, -2, 126, 0}));
  std::vector<float> meant = row;
  round_activations(parse_scheme("int8:a8full"), 0, 0, 8, meant);
  EXPECT_EQ(meant, (std::vector<float>{-256, 254, 0, 4, 0, -4, 252, 0}));
  EXPECT_EQ(quantize_row_full(std::vector<float>(8), codes), 0);
  EXPECT_EQ(codes, std::vector<int8_t>(8));
}

TEST(InputCoding, OutliersDoNotSpoilTheOthers) {
  const std::vector<float> x = inputs(1, 96);
  std::vector<float> plain = x, spared = x;
  round_activations(parse_scheme("int8:a8"), 0, 6, 96, plain);
  round_activations(parse_scheme("int8:a8outlier"), 0, 6, 96, spared);
  double a = 0, b = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    a += std::pow(plain[i] - x[i], 2);
    b += std::pow(spared[i] - x[i], 2);
  }
  EXPECT_LT(b, 0.02 * a);
  EXPECT_EQ(spared[3], 40);
}

TEST(InputCoding, AStaticScaleIsNeededAndChecked) {
  const auto load = [](const QuantizedTensor& q) {
    std::vector<LinearMember> members;
    members.push_back({"w", q, std::nullopt});
    LinearGroup(std::move(members), {});
  };
  test::expect_error(ErrorKind::corrupt, "a8static needs the scale",
                     [&] { load(weight("int8:a8static", 4, 8, 0)); });
  test::expect_error(ErrorKind::corrupt, "expected a number above 0", [&] {
    QuantizedTensor q = weight("int8:a8static", 4, 8, 1);
    q.activation->mutable_data<float>()[0] = -1;
    load(q);
  });
  test::expect_error(ErrorKind::corrupt, "has no number of the inputs",
                     [&] { load(weight("int8", 4, 8, 1)); });
}

TEST(InputCoding, RowsThatAreNotFiniteStayNotFinite) {
  for (const char* scheme : {"int8:a8full", "int8:a8static", "int8:a8outlier"}) {
    std::vector<LinearMember> members;
    members.push_back(
        {"w", weight(scheme, 4, 8, scheme == std::string("int8:a8full") ? 0 : 6), std::nullopt});
    const LinearGroup group(std::move(members), {});
    std::vector<float> x(8, 1.0F), y(4);
    x[2] = NAN;
    group.forward(x, 1, y.data(), Exec{});
    EXPECT_TRUE(std::isnan(y[0])) << scheme;
  }
}

}  // namespace
}  // namespace nibble
