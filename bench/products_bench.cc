// The products of training and the Gram sums of calibration alone: what part of the machine's peak
// in f32 they reach, and in bf16 of twice that. Product and peak are measured in turn; the median
// of the quotients counts.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string_view>
#include <vector>

#include "nibble/core/cpu.h"
#include "nibble/core/exec.h"
#include "nibble/eval/peak.h"
#include "nibble/kernels/kernels.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/kernels/train.h"
#include "nibble/quant/dense.h"

namespace nibble::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kRounds = 7;
constexpr double kLeast = 0.02;  // seconds of one measurement

const Kernel& f32_kernel() {
  return choose_gemm({.n = 2048, .k = 2048, .weight = WeightType::f32, .bits = 0, .group = 2048});
}

double rate(double operations, const std::function<void()>& body) {
  const auto start = Clock::now();
  int times = 0;
  double seconds = 0;
  for (; seconds < kLeast; ++times) {
    body();
    seconds = std::chrono::duration<double>(Clock::now() - start).count();
  }
  return operations * times / seconds;
}

double median(std::vector<double> v) {
  std::nth_element(v.begin(), v.begin() + static_cast<ptrdiff_t>(v.size() / 2), v.end());
  return v[v.size() / 2];
}

// `most` times the f32 peak is the limit.
void show(const std::string& what, double operations, int threads, double most,
          const std::function<void()>& body) {
  std::vector<double> rates, shares;
  rate(operations, body);
  for (int i = 0; i < kRounds; ++i) {
    const double peak = most * measure_peak(f32_kernel(), {.threads = threads, .seconds = kLeast});
    rates.push_back(rate(operations, body));
    shares.push_back(rates.back() / peak);
  }
  fmt::print("{:44} {} {:7.0f} GFLOP/s {:4.0f} %\n", what, threads, median(rates) * 1e-9,
             100 * median(shares));
}

struct Shape {
  int64_t m, n, k;
  bool transposed;
};

void train_product(const Shape& s) {
  const auto numbers = [](int64_t n) {
    return std::vector<float>(static_cast<size_t>(n + kTrainSlack), 0.5f);
  };
  const std::vector<float> a = numbers(s.m * s.k), b = numbers(s.k * s.n);
  std::vector<float> c = numbers(s.m * s.n);
  const TrainProduct<float> product{
      s.m, s.n,      s.k, a.data(), s.transposed ? 1 : s.k, s.transposed ? s.m : 1, b.data(),
      s.n, c.data(), s.n, false};
  show(fmt::format("train {} x {} x {}{}", s.m, s.n, s.k, s.transposed ? ", a transposed" : ""),
       2.0 * static_cast<double>(s.m * s.n * s.k), 1, 1,
       [&] { best_train_ops().product(product); });
}

// Half of the tiles are computed where both sides are the same.
void gram(int64_t k, int threads) {
  constexpr int64_t kRows = 512;
  const std::vector<float> x(static_cast<size_t>(kRows * k), 0.5f);
  std::vector<float> c(static_cast<size_t>(k * k));
  const bool bf16 = k >= kWideGram && has_bf16_products();
  show(fmt::format("sums over {} rows of {}{}", kRows, k, bf16 ? ", bf16" : ""),
       static_cast<double>(kRows) * static_cast<double>(k) * static_cast<double>(k + 512), threads,
       bf16 ? 2 : 1, [&] { add_gram(kRows, k, k, x.data(), x.data(), c.data(), threads); });
}

}  // namespace
}  // namespace nibble::bench

int main() {
  using namespace nibble;
  fmt::print("{}, {}\n", cpu().model, cpu().isa);
  constexpr bench::Shape kShapes[] = {{32, 48, 48, false},   {128, 384, 128, false},
                                      {512, 128, 128, true}, {64, 512, 784, false},
                                      {64, 784, 512, false}, {256, 2048, 2048, false}};
  for (const bench::Shape& s : kShapes) bench::train_product(s);
  for (const int64_t k : {512, 2048, 5632}) {
    bench::gram(k, 1);
    if (default_threads() > 1) bench::gram(k, default_threads());
  }
}
