// Quantizes one matrix that a program has made itself, by several schemes, with and without knowing
// what it will be multiplied with: the arithmetic alone, no model and no file.
#include <nibble/nibble.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <random>
#include <vector>

namespace {

constexpr int64_t kRows = 64, kColumns = 128, kSamples = 512;

std::vector<float> drawn(int64_t count, double spread, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, spread);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& v : out) v = static_cast<float>(normal(random));
  return out;
}

/// Mean of x x^T over rows of x, whose columns are louder the further left they stand.
std::vector<float> hessian_of(std::vector<float> x) {
  for (int64_t i = 0; i < std::ssize(x); ++i)
    x[static_cast<size_t>(i)] *= 8.0f / static_cast<float>(1 + i % kColumns);
  std::vector<float> out(kColumns * kColumns);
  for (int64_t s = 0; s < kSamples; ++s) {
    const float* row = x.data() + s * kColumns;
    for (int64_t i = 0; i < kColumns; ++i)
      for (int64_t j = 0; j < kColumns; ++j)
        out[static_cast<size_t>(i * kColumns + j)] += row[i] * row[j] / kSamples;
  }
  return out;
}

}  // namespace

int main() try {
  const std::vector<float> w = drawn(kRows * kColumns, 0.05, 1);
  const std::vector<float> hessian = hessian_of(drawn(kSamples * kColumns, 1, 2));
  std::printf("%-12s %12s %16s %16s\n", "scheme", "bits/weight", "imatrix", "gptq");
  for (const char* scheme : {"int8", "int4:g32", "int4:g32:asym", "int3:g32", "int2:g16"}) {
    const auto nearest = nibble::quantize_array(w, kRows, kColumns, scheme,
                                                {.method = "imatrix", .hessian = hessian});
    const auto gptq = nibble::quantize_array(w, kRows, kColumns, scheme, {.hessian = hessian});
    std::printf("%-12s %12.2f %16.3e %16.3e\n", scheme, gptq.bits_per_weight, nearest.error.value(),
                gptq.error.value());
  }
  std::printf("\nThe last two columns: mean squared error of an output.\n");
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "quantize_matrix: %s\n", error.what());
  return 1;
}
