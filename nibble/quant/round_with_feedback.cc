#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/dense.h"
#include "nibble/quant/feedback.h"
#include "nibble/quant/lanes.h"
#include "nibble/quant/second_order.h"

namespace nibble {
namespace {

constexpr int64_t kBlock = 128;  // columns between two matrix products
constexpr int64_t kSlab = 64;    // rows of one piece of work

// The rows [first, first + rows) of one weight, column by column.
class Slab {
 public:
  Slab(GridMatrix& m, std::span<const float> w, const Feedback& feedback,
       std::span<const int64_t> order, int64_t first, int64_t rows)
      : m_(m), w_(w), f_(feedback), order_(order), first_(first), rows_(rows), k_(feedback.k) {
    error_.resize(static_cast<size_t>(rows * k_));
    target_.resize(static_cast<size_t>(rows * kBlock));
  }

  void run() {
    for (int64_t begin = 0; begin < k_; begin += kBlock) {
      const int64_t size = std::min(kBlock, k_ - begin);
      gather(begin, size);
      multiply(rows_, size, begin, error_.data(), k_, f_.a.data() + begin, k_, target_.data(),
               kBlock, true);
      for (int64_t r = 0; r < rows_; r += kLanes)
        round_block(r, std::min(kLanes, rows_ - r), begin, size);
    }
  }

 private:
  void gather(int64_t begin, int64_t size) {
    for (int64_t r = 0; r < rows_; ++r) {
      const float* row = w_.data() + (first_ + r) * k_;
      for (int64_t j = 0; j < size; ++j)
        target_[static_cast<size_t>(r * kBlock + j)] = row[order_[static_cast<size_t>(begin + j)]];
    }
  }

  // One block of columns for up to kLanes rows, side by side.
  void round_block(int64_t r, int64_t lanes, int64_t begin, int64_t size) {
    Lanes errors[kBlock];
    for (int64_t j = 0; j < size; ++j) {
      const int64_t column = order_[static_cast<size_t>(begin + j)];
      Lanes v{};
      for (int64_t l = 0; l < lanes; ++l)
        v.x[l] = target_[static_cast<size_t>((r + l) * kBlock + j)];
      for (int64_t i = 0; i < j; ++i)
        v.add_scaled(errors[i], f_.a[static_cast<size_t>((begin + i) * k_ + begin + j)]);
      errors[j] = Lanes{};
      for (int64_t l = 0; l < lanes; ++l) {
        const int64_t row = first_ + r + l;
        const Grid& g = m_.grid(row, column / m_.group());
        const float u = nearest_level(v.x[l], g, m_.range());
        m_.levels(row)[static_cast<size_t>(column)] = static_cast<int16_t>(u);
        const float e = w_[static_cast<size_t>(row * k_ + column)] - u * g.scale;
        errors[j].x[l] = e;
        error_[static_cast<size_t>((r + l) * k_ + begin + j)] = e;
      }
    }
  }

  GridMatrix& m_;
  std::span<const float> w_;
  const Feedback& f_;
  std::span<const int64_t> order_;
  int64_t first_, rows_, k_;
  std::vector<float> error_;   // [rows, k] w - q, in the order of rounding
  std::vector<float> target_;  // [rows, kBlock]
};

}  // namespace

bool round_with_feedback(GridMatrix& m, std::span<const float> w, const DampedHessian& hessian,
                         bool act_order, int threads) {
  const std::vector<int64_t> order = rounding_order(hessian.h.data(), hessian.k, act_order);
  Feedback feedback;
  if (!make_feedback(hessian.h.data(), hessian.k, order, threads, feedback)) return false;
  parallel_for(ceil_div(m.n(), kSlab), threads, [&](int64_t s) {
    Slab(m, w, feedback, order, s * kSlab, std::min(kSlab, m.n() - s * kSlab)).run();
  });
  return true;
}

}  // namespace nibble
