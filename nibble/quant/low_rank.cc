#include "nibble/quant/low_rank.h"

#include <algorithm>
#include <vector>

#include "nibble/core/parallel.h"

namespace nibble {
namespace {

// Rows of a weight in one piece of work.
constexpr int64_t kChangedRows = 64;

}  // namespace

// The change of a row first, then once onto what is there.
void LowRank::add_row(int64_t row, std::span<float> out) const {
  const auto k = static_cast<size_t>(a.shape()[1]), r = static_cast<size_t>(rank());
  NIBBLE_CHECK(out.size() == k && row >= 0 && row < b.shape()[0]);
  const float* const factors = b.data<float>().data() + static_cast<size_t>(row) * r;
  const float* in = a.data<float>().data();
  std::vector<float> change(k);
  for (size_t j = 0; j < r; ++j, in += k) {
    for (size_t i = 0; i < k; ++i) change[i] += factors[j] * in[i];
  }
  for (size_t i = 0; i < k; ++i) out[i] += change[i];
}

void LowRank::add(std::span<float> values, int threads) const {
  const int64_t n = b.shape()[0], k = a.shape()[1];
  NIBBLE_CHECK(static_cast<int64_t>(values.size()) == n * k);
  parallel_for((n + kChangedRows - 1) / kChangedRows, threads, [&](int64_t piece) {
    const int64_t end = std::min((piece + 1) * kChangedRows, n);
    for (int64_t row = piece * kChangedRows; row < end; ++row)
      add_row(row, values.subspan(static_cast<size_t>(row * k), static_cast<size_t>(k)));
  });
}

LowRank sum(const LowRank& x, const LowRank& y) {
  const int64_t n = x.b.shape()[0], k = x.a.shape()[1], r = x.rank() + y.rank();
  NIBBLE_CHECK(y.b.shape()[0] == n && y.a.shape()[1] == k);
  LowRank out{Tensor(DType::f32, {r, k}), Tensor(DType::f32, {n, r})};
  float* to = out.a.mutable_data<float>().data();
  for (const LowRank* part : {&x, &y}) to = std::ranges::copy(part->a.data<float>(), to).out;
  to = out.b.mutable_data<float>().data();
  for (int64_t row = 0; row < n; ++row) {
    for (const LowRank* part : {&x, &y}) {
      const int64_t width = part->rank();
      to = std::copy_n(part->b.data<float>().data() + row * width, width, to);
    }
  }
  return out;
}

}  // namespace nibble
