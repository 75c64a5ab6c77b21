#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/core/parallel.h"
#include "nibble/kernels/rounding.h"
#include "nibble/quant/dense.h"
#include "nibble/quant/feedback.h"
#include "nibble/quant/two_sided.h"

namespace nibble {
namespace {

constexpr int64_t kRowsOfBlock = 16;                   // between two large products
constexpr int64_t kRoundedColumns = kRoundingColumns;  // the same
constexpr int64_t kPieceOfRow = 512;                   // columns of a product that one thread makes

// The inputs' side, which all rows share.
struct FeedbackTiles {
  std::vector<int64_t> order;
  Feedback feedback;
  std::vector<float> tiles;  // the feedback inside each kRoundedColumns columns, [kRoundedColumns,
                             // kRoundedColumns]

  bool make(const DampedHessian& h, bool act_order, int threads) {
    order = rounding_order(h.h.data(), h.k, act_order);
    if (!make_feedback(h.h.data(), h.k, order, threads, feedback)) return false;
    tiles.assign(
        static_cast<size_t>(ceil_div(h.k, kRoundedColumns) * kRoundedColumns * kRoundedColumns), 0);
    for (int64_t begin = 0; begin < h.k; begin += kRoundedColumns)
      for (int64_t i = begin; i < std::min(begin + kRoundedColumns, h.k); ++i)
        std::copy(feedback.a.begin() + i * h.k + i,
                  feedback.a.begin() + i * h.k + std::min(begin + kRoundedColumns, h.k),
                  tiles.begin() + i * kRoundedColumns + (i - begin));
    return true;
  }
};

// The rows of one block of G.
class RoundedRows {
 public:
  RoundedRows(GridMatrix& m, std::span<const float> w, const FeedbackTiles& columns, int64_t first,
              std::span<const int64_t> order, const Feedback& rows, int threads)
      : m_(m),
        w_(w),
        columns_(columns),
        rows_(rows),
        order_(order),
        first_(first),
        k_(columns.feedback.k),
        threads_(threads) {
    error_.resize(static_cast<size_t>(rows.k * k_));
    target_.resize(static_cast<size_t>(kRowsOfBlock * k_));
    left_.resize(target_.size());
  }

  void run() {
    for (int64_t r = 0; r < rows_.k; r += kRowsOfBlock) {
      const int64_t count = std::min(kRowsOfBlock, rows_.k - r);
      aim(r, count);
      for (int64_t begin = 0; begin < k_; begin += kRoundedColumns)
        round(r, count, begin, std::min(kRoundedColumns, k_ - begin));
    }
  }

 private:
  int64_t row(int64_t r) const { return first_ + order_[static_cast<size_t>(r)]; }
  int64_t column(int64_t c) const { return columns_.order[static_cast<size_t>(c)]; }
  float feedback(int64_t from, int64_t to) const {
    return rows_.a[static_cast<size_t>(from * rows_.k + to)];
  }

  // What the rows before `r` make of the rows [r, r + count).
  void aim(int64_t r, int64_t count) {
    std::vector<float> told(static_cast<size_t>(count * r));
    for (int64_t i = 0; i < count; ++i) {
      const float* from = w_.data() + row(r + i) * k_;
      for (int64_t c = 0; c < k_; ++c) target_[static_cast<size_t>(i * k_ + c)] = from[column(c)];
      for (int64_t p = 0; p < r; ++p) told[static_cast<size_t>(i * r + p)] = feedback(p, r + i);
    }
    if (r == 0) return;
    parallel_for(ceil_div(k_, kPieceOfRow), threads_, [&](int64_t piece) {
      const int64_t at = piece * kPieceOfRow;
      multiply(count, std::min(kPieceOfRow, k_ - at), r, told.data(), r, error_.data() + at, k_,
               target_.data() + at, k_, true);
    });
  }

  void round(int64_t r, int64_t count, int64_t begin, int64_t size) {
    float start[kRowsOfBlock * kRoundedColumns] = {};
    if (begin > 0)
      multiply(count, size, begin, left_.data(), k_, columns_.feedback.a.data() + begin, k_, start,
               kRoundedColumns, false);
    for (int64_t i = 0; i < count; ++i) round_row(r, i, begin, size, start + i * kRoundedColumns);
  }

  // `v`: what the columns before `begin` add to row r + i.
  void round_row(int64_t r, int64_t i, int64_t begin, int64_t size, float* v) {
    float* target = target_.data() + i * k_ + begin;
    for (int64_t p = 0; p < i; ++p) {
      const float share = feedback(r + p, r + i);
      const float* error = error_.data() + (r + p) * k_ + begin;
      for (int64_t c = 0; c < size; ++c) target[c] += share * error[c];
    }
    float scale[kRoundedColumns], low[kRoundedColumns], high[kRoundedColumns],
        level[kRoundedColumns];
    const int64_t here = row(r + i);
    for (int64_t c = 0; c < size; ++c) {
      const Grid& g = m_.grid(here, column(begin + c) / m_.group());
      scale[c] = g.scale, low[c] = g.low, high[c] = g.high;
      v[c] += target[c];
    }
    const std::span<const float> values = m_.range().values;
    ops_.round_row({size, columns_.tiles.data() + begin * kRoundedColumns, target, scale, low, high,
                    v, level, left_.data() + i * k_ + begin,
                    values.empty() ? nullptr : values.data()});
    float* error = error_.data() + (r + i) * k_ + begin;
    const std::span<int16_t> levels = m_.levels(here);
    for (int64_t c = 0; c < size; ++c) {
      const int64_t to = column(begin + c);
      levels[static_cast<size_t>(to)] = static_cast<int16_t>(level[c]);
      error[c] = w_[static_cast<size_t>(here * k_ + to)] - level[c] * scale[c];
    }
  }

  const RoundingOps& ops_ = best_rounding_ops();
  GridMatrix& m_;
  std::span<const float> w_;
  const FeedbackTiles& columns_;
  const Feedback& rows_;
  std::span<const int64_t> order_;
  int64_t first_, k_;
  int threads_;
  // All in the order of rounding, of columns as well.
  std::vector<float> error_;  // [rows, k]: w - q
  std::vector<float>
      target_;  // [kRowsOfBlock, k]: w and what the errors of the rows before add to it
  std::vector<float> left_;  // [kRowsOfBlock, k]: target - q
};

struct RowSide {
  std::vector<int64_t> order;
  Feedback feedback;
};

}  // namespace

bool round_two_sided(GridMatrix& m, std::span<const float> w, const DampedHessian& hessian,
                     const OutputMetric& metric, bool act_order, int threads) {
  FeedbackTiles columns;
  if (!columns.make(hessian, act_order, threads)) return false;
  std::vector<RowSide> sides(metric.blocks.size());
  for (size_t b = 0; b < sides.size(); ++b) {
    const int64_t n = metric.starts[b + 1] - metric.starts[b];
    sides[b].order = rounding_order(metric.blocks[b].data(), n, true);
    if (!make_feedback(metric.blocks[b].data(), n, sides[b].order, threads, sides[b].feedback))
      return false;
  }
  // Either the blocks or the products inside them go to the threads.
  const int inside = sides.size() > 1 ? 1 : threads;
  parallel_for(std::ssize(sides), threads, [&](int64_t b) {
    const RowSide& side = sides[static_cast<size_t>(b)];
    RoundedRows(m, w, columns, metric.starts[static_cast<size_t>(b)], side.order, side.feedback,
                inside)
        .run();
  });
  return true;
}

}  // namespace nibble
