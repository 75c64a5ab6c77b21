#include "nibble/quant/calibration.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "nibble/core/checked.h"
#include "nibble/core/counted.h"
#include "nibble/core/error.h"
#include "nibble/core/finite.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/dense.h"

namespace nibble {
namespace {

constexpr int64_t kRowsOfSum = 512;  // rows that are added to the sums at a time
constexpr int64_t kColumns = 256;    // that a thread looks at together

size_t square(int64_t k) { return static_cast<size_t>(k) * static_cast<size_t>(k); }

}  // namespace

int64_t InputStatistics::dead_channels() const {
  return std::count(mean_square.begin(), mean_square.end(), 0.0);
}

std::string coverage_note(const InputStatistics& input) {
  std::vector<std::string> words;
  if (input.mixed > 0)
    words.push_back(fmt::format(
        "calibrated on {}, fewer than its {}: {:.0f} % of its statistics are of all tokens, each "
        "counted by the router's probability",
        counted(input.rows, "token"), counted(input.k, "input"), 100 * input.mixed));
  else if (input.rows < input.k)
    words.push_back(fmt::format("calibrated on {}, fewer than its {}: give more text",
                                counted(input.rows, "token"), counted(input.k, "input")));
  if (const int64_t dead = input.dead_channels(); dead > 0)
    words.push_back(fmt::format("{} of {} {} never active in calibration", dead,
                                counted(input.k, "input"), noun(dead, "was", "were")));
  if (input.refused > 0)
    words.push_back(fmt::format("{} gave inputs that are not finite and were left out",
                                counted(input.refused, "token")));
  return fmt::format("{}", fmt::join(words, "; "));
}

StatisticsCollector::StatisticsCollector(int64_t k, const Wanted& wanted) : wanted_(wanted) {
  sums_.k = k;
  sums_.target_width = wanted.target_width;
  sums_.absmax.assign(static_cast<size_t>(k), 0);
  sums_.mean_square.assign(static_cast<size_t>(k), 0);
  if (wanted.hessian) sums_.hessian.assign(square(k), 0);
  if (wanted.cross) sums_.cross.assign(square(k), 0);
  sums_.target.assign(static_cast<size_t>(k * wanted.target_width), 0);
  block_.resize(static_cast<size_t>(kRowsOfSum * k));
  if (wanted.cross) difference_.resize(block_.size());
  target_.resize(static_cast<size_t>(kRowsOfSum * wanted.target_width));
}

void StatisticsCollector::add(const CalibrationRows& rows, int64_t m, int threads) {
  const auto k = static_cast<size_t>(sums_.k), p = static_cast<size_t>(sums_.target_width);
  const auto count = static_cast<size_t>(m);
  NIBBLE_CHECK(rows.x.size() == count * k);
  NIBBLE_CHECK(rows.original.size() == (wanted_.cross ? count * k : 0));
  NIBBLE_CHECK(rows.target.size() == count * p);
  std::vector<char> finite(count);
  parallel_for(m, threads, [&](int64_t row) {
    const auto r = static_cast<size_t>(row);
    finite[r] = all_finite(rows.x.subspan(r * k, k)) && all_finite(rows.target.subspan(r * p, p)) &&
                (!wanted_.cross || all_finite(rows.original.subspan(r * k, k)));
  });
  std::vector<size_t> next;  // rows that go into the block together
  for (size_t r = 0; r < count; ++r) {
    if (finite[r] != 0)
      next.push_back(r);
    else
      ++sums_.refused;
    if (held_ + std::ssize(next) < kRowsOfSum && r + 1 < count) continue;
    hold(rows, next, threads);
    next.clear();
    if (held_ == kRowsOfSum) flush(threads);
  }
}

void StatisticsCollector::hold(const CalibrationRows& rows, std::span<const size_t> which,
                               int threads) {
  const auto k = static_cast<size_t>(sums_.k), p = static_cast<size_t>(sums_.target_width);
  parallel_for(std::ssize(which), threads, [&](int64_t row) {
    const auto i = static_cast<size_t>(row), at = static_cast<size_t>(held_) + i;
    const float* x = rows.x.data() + which[i] * k;
    std::copy_n(x, k, block_.data() + at * k);
    std::copy_n(rows.target.data() + which[i] * p, p, target_.data() + at * p);
    if (!wanted_.cross) return;
    const float* original = rows.original.data() + which[i] * k;
    for (size_t c = 0; c < k; ++c) difference_[at * k + c] = original[c] - x[c];
  });
  held_ += std::ssize(which);
}

// The largest magnitude and the sum of squares of some columns, rows in their order.
void StatisticsCollector::add_columns(int64_t begin, int64_t end) {
  for (int64_t r = 0; r < held_; ++r) {
    const float* row = block_.data() + r * sums_.k;
    float* const absmax = sums_.absmax.data();
    double* const squares = sums_.mean_square.data();
    for (int64_t c = begin; c < end; ++c) {
      absmax[c] = std::max(absmax[c], std::fabs(row[c]));
      squares[c] += double{row[c]} * row[c];
    }
  }
}

void StatisticsCollector::flush(int threads) {
  const int64_t k = sums_.k;
  parallel_for(ceil_div(k, kColumns), threads,
               [&](int64_t i) { add_columns(i * kColumns, std::min((i + 1) * kColumns, k)); });
  const float* x = block_.data();
  if (wanted_.hessian) add_gram(held_, k, k, x, x, sums_.hessian.data(), threads);
  if (wanted_.cross) add_gram(held_, k, k, x, difference_.data(), sums_.cross.data(), threads);
  add_gram(held_, k, sums_.target_width, x, target_.data(), sums_.target.data(), threads);
  sums_.rows += held_;
  held_ = 0;
}

InputStatistics StatisticsCollector::finish(int threads) {
  flush(threads);
  if (wanted_.hessian) mirror(sums_.k, sums_.hessian.data(), threads);
  for (std::vector<float>* v : {&block_, &difference_, &target_}) std::vector<float>().swap(*v);
  if (sums_.rows > 0) {
    const double share = 1.0 / static_cast<double>(sums_.rows);
    const auto scale = [share, threads](auto& sums) {
      constexpr int64_t kPiece = 1 << 18;
      parallel_for(ceil_div(std::ssize(sums), kPiece), threads, [&](int64_t piece) {
        const int64_t begin = piece * kPiece, end = std::min(begin + kPiece, std::ssize(sums));
        for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
          sums[i] = static_cast<std::decay_t<decltype(sums[i])>>(double{sums[i]} * share);
      });
    };
    scale(sums_.mean_square), scale(sums_.hessian), scale(sums_.cross), scale(sums_.target);
  }
  return std::move(sums_);
}

}  // namespace nibble
