#include "nibble/train/sampler.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "nibble/core/random.h"

namespace nibble {
namespace {

// splitmix64 (Steele, Lea and Flood 2014): streams of neighbouring numbers have nothing in common.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

std::vector<int64_t> epoch_order(uint64_t seed, uint64_t epoch, size_t n) {
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  PyRandom(mix(mix(seed) ^ epoch)).shuffle(order);
  return order;
}

void corrupt_tokens(Batch& batch, double share, int64_t vocabulary, uint64_t seed, int64_t step) {
  PyRandom random(mix(mix(seed) ^ mix(static_cast<uint64_t>(step) + 1)));
  for (int32_t& token : batch.token) {
    if (random.random() < share)
      token = static_cast<int32_t>(random.below(static_cast<uint64_t>(vocabulary)));
  }
}

Sampler::Sampler(const std::vector<std::vector<int32_t>>& data, uint64_t seed, int64_t batch,
                 int64_t context, bool windows)
    : data_(data), seed_(seed), batch_(batch), context_(context), windows_(windows) {
  uint64_t sum = 0;
  for (const auto& ids : data_) {
    const int64_t longer = static_cast<int64_t>(ids.size()) - context_;
    window_ends_.push_back(sum += static_cast<uint64_t>(std::max<int64_t>(longer, 1)));
  }
}

void Sampler::use_epoch(uint64_t epoch) {
  if (epoch == epoch_) return;
  epoch_ = epoch;
  order_ = epoch_order(seed_, epoch, data_.size());
}

void Sampler::append_window(uint64_t start, Batch& out) const {
  const auto sequence = std::upper_bound(window_ends_.begin(), window_ends_.end(), start);
  const auto index = static_cast<size_t>(sequence - window_ends_.begin());
  const uint64_t offset = start - (index == 0 ? 0 : window_ends_[index - 1]);
  const std::span<const int32_t> ids = data_[index];
  const size_t length = std::min(ids.size() - offset, static_cast<size_t>(context_) + 1);
  out.append(ids.subspan(offset, length));
}

void Sampler::fill(int64_t step, Batch& out) {
  out.clear();
  const auto first = static_cast<uint64_t>(step * batch_);
  if (windows_) {
    PyRandom random(mix(mix(seed_) ^ first));
    for (int64_t i = 0; i < batch_; ++i) append_window(random.below(window_ends_.back()), out);
    return;
  }
  for (uint64_t i = first; i < first + static_cast<uint64_t>(batch_); ++i) {
    use_epoch(i / data_.size());
    out.append(data_[static_cast<size_t>(order_[i % data_.size()])]);
  }
}

}  // namespace nibble
