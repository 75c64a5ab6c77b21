// Products with 8-bit weights of bitsandbytes are those that bitsandbytes finds, row by row:
// rounded inputs, and outliers left as they are.
#include <gtest/gtest.h>

#include <cmath>

#include "nibble/nn/linear.h"
#include "tests/format/layout_goldens.h"

namespace nibble {
namespace {

// It multiplies sums by 6.200124e-5 (backends/default/ops.py of 0.50), where 1 / 127 / 127 is
// 6.200012e-5.
constexpr float kSlackOfBitsandbytes = 2e-5f;

// The sum of the magnitudes of what output j of a row adds up.
float size_of_product(const Tensor& w, std::span<const float> x, size_t j) {
  float sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += std::fabs(x[i] * w.data<float>()[j * x.size() + i]);
  return sum;
}

TEST(LlmInt8, ProductsAreThoseOfBitsandbytes) {
  for (const auto& g : test::layout_goldens("bitsandbytes_int8.json")) {
    const QuantizedTensor q =
        test::read_layout(test::fields_of(g.at("config")), test::tensors_in(g));
    const Tensor w = dequantize(q);
    const auto x = test::floats_of(g.at("inputs")), wanted = test::floats_of(g.at("products"));
    const auto k = static_cast<size_t>(q.k()), n = static_cast<size_t>(q.n());
    std::vector<LinearMember> members;
    members.push_back({"x", q, std::nullopt});
    const LinearGroup group(std::move(members), LinearOptions{.threads = 1});
    std::vector<float> y(wanted.size());
    group.forward(x, static_cast<int64_t>(x.size() / k), y.data(), Exec{});
    for (size_t i = 0; i < y.size(); ++i) {
      const float size = size_of_product(w, std::span(x).subspan(i / n * k, k), i % n);
      EXPECT_NEAR(y[i], wanted[i], kSlackOfBitsandbytes * size)
          << g.at("shape").dump() << " " << g.at("config").at("llm_int8_threshold");
    }
  }
}

}  // namespace
}  // namespace nibble
