#include "nibble/quant/calibration.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/quant/dense.h"

namespace nibble {
namespace {

constexpr int64_t kBlock = 512;  // rows that are added to the sums at a time

bool all_finite(std::span<const float> row) {
  return std::all_of(row.begin(), row.end(), [](float v) { return std::isfinite(v); });
}

size_t square(int64_t k) { return static_cast<size_t>(k) * static_cast<size_t>(k); }

}  // namespace

int64_t InputStatistics::dead_channels() const {
  return std::count(absmax.begin(), absmax.end(), 0.0f);
}

std::string coverage_note(const InputStatistics& input) {
  std::vector<std::string> words;
  if (input.rows < input.k)
    words.push_back(fmt::format("calibrated on {} tokens, fewer than its {} inputs: give more text",
                                input.rows, input.k));
  if (const int64_t dead = input.dead_channels(); dead > 0)
    words.push_back(fmt::format("{} of {} inputs were never active in calibration", dead, input.k));
  if (input.refused > 0)
    words.push_back(
        fmt::format("{} tokens gave inputs that are not finite and were left out", input.refused));
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
  block_.resize(static_cast<size_t>(kBlock * k));
  if (wanted.cross) difference_.resize(block_.size());
  target_.resize(static_cast<size_t>(kBlock * wanted.target_width));
}

void StatisticsCollector::add(const CalibrationRows& rows, int64_t m, int threads) {
  const auto k = static_cast<size_t>(sums_.k), p = static_cast<size_t>(sums_.target_width);
  const auto count = static_cast<size_t>(m);
  NIBBLE_CHECK(rows.x.size() == count * k);
  NIBBLE_CHECK(rows.original.size() == (wanted_.cross ? count * k : 0));
  NIBBLE_CHECK(rows.target.size() == count * p);
  for (size_t r = 0; r < count; ++r) {
    const auto x = rows.x.subspan(r * k, k), target = rows.target.subspan(r * p, p);
    const auto original = wanted_.cross ? rows.original.subspan(r * k, k) : x;
    if (!all_finite(x) || !all_finite(original) || !all_finite(target)) {
      ++sums_.refused;
      continue;
    }
    const auto held = static_cast<size_t>(held_);
    std::copy(x.begin(), x.end(), block_.data() + held * k);
    std::copy(target.begin(), target.end(), target_.data() + held * p);
    for (size_t i = 0; wanted_.cross && i < k; ++i) difference_[held * k + i] = original[i] - x[i];
    if (++held_ == kBlock) flush(threads);
  }
}

void StatisticsCollector::flush(int threads) {
  const int64_t k = sums_.k;
  for (int64_t r = 0; r < held_; ++r) {
    for (int64_t c = 0; c < k; ++c) {
      const float v = block_[static_cast<size_t>(r * k + c)];
      const auto at = static_cast<size_t>(c);
      sums_.absmax[at] = std::max(sums_.absmax[at], std::fabs(v));
      sums_.mean_square[at] += double{v} * v;
    }
  }
  const float* x = block_.data();
  if (wanted_.hessian) add_gram(held_, k, k, x, x, sums_.hessian.data(), threads);
  if (wanted_.cross) add_gram(held_, k, k, x, difference_.data(), sums_.cross.data(), threads);
  add_gram(held_, k, sums_.target_width, x, target_.data(), sums_.target.data(), threads);
  sums_.rows += held_;
  held_ = 0;
}

InputStatistics StatisticsCollector::finish(int threads) {
  flush(threads);
  if (wanted_.hessian) mirror(sums_.k, sums_.hessian.data());
  for (std::vector<float>* v : {&block_, &difference_, &target_}) std::vector<float>().swap(*v);
  if (sums_.rows > 0) {
    const double share = 1.0 / static_cast<double>(sums_.rows);
    const auto scale = [share](auto& sums) {
      for (auto& v : sums) v = static_cast<std::decay_t<decltype(v)>>(double{v} * share);
    };
    scale(sums_.mean_square), scale(sums_.hessian), scale(sums_.cross), scale(sums_.target);
  }
  return std::move(sums_);
}

}  // namespace nibble
