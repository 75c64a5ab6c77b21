// Products in bf16 (LinearOptions::bf16_products) against those in f32.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/core/float_formats.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/nn/linear.h"
#include "tests/kernels/noise.h"

namespace nibble {
namespace {

std::vector<float> noise(int64_t count, uint64_t seed) {
  Noise source(seed);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& v : out) v = source.real();
  return out;
}
Tensor noise_matrix(int64_t n, int64_t k, uint64_t seed) {
  return Tensor::from<float>(Shape{n, k}, noise(n * k, seed));
}

// For calibration: rows and weights rounded to bf16.
TEST(Linear, Bf16ProductsAreNearAndTheSameForAnyThreads) {
  for (const int64_t k : {7, 64, 300}) {
    for (const int64_t m : {1, 5, 200}) {
      const int64_t n = 130;
      const Tensor a = noise_matrix(n, k, 1), b = convert(noise_matrix(n, k, 2), DType::f16);
      const Tensor bias = Tensor::from<float>(Shape{n}, noise(n, 3));
      const auto make = [&](bool bf16) {
        std::vector<LinearMember> members;
        members.push_back({"a", a, bias});
        members.push_back({"b", b, std::nullopt});
        return LinearGroup(std::move(members), LinearOptions{.bf16_products = bf16});
      };
      const LinearGroup exact = make(false), narrow = make(true);
      const std::vector<float> x = noise(m * k, 4);
      const auto run_both = [&](const LinearGroup& group, int threads) {
        std::vector<float> y(static_cast<size_t>(2 * m * n), -777.0f);
        float* const parts[] = {y.data(), y.data() + m * n};
        Exec exec;
        exec.threads = threads;
        group.forward(x, m, parts, exec);
        return y;
      };
      const auto wanted = run_both(exact, 1), got = run_both(narrow, 1);
      EXPECT_EQ(got, run_both(narrow, 3)) << "m " << m << " k " << k;
      double error = 0, size = 0;
      for (size_t i = 0; i < got.size(); ++i) {
        error += (double{got[i]} - wanted[i]) * (double{got[i]} - wanted[i]);
        size += double{wanted[i]} * wanted[i];
      }
      EXPECT_LT(std::sqrt(error / size), 4e-3) << "m " << m << " k " << k;
      if (!has_bf16_products()) continue;
      EXPECT_GT(error, 0);
      EXPECT_EQ(narrow.kernel_name(0), "gemm_bf16_onednn");
      const Tensor source = narrow.source(1).plain(), rounded = convert(b, DType::bf16);
      ASSERT_EQ(source.dtype(), DType::bf16);
      EXPECT_EQ(std::memcmp(source.raw(), rounded.raw(), rounded.bytes()), 0);
    }
  }
}

}  // namespace
}  // namespace nibble
