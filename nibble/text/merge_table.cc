#include "nibble/text/merge_table.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <random>
#include <tuple>

#include "nibble/core/error.h"

namespace nibble {
namespace {

// Below this many symbols a search through all of them beats the heap.
constexpr size_t kShort = 40;
constexpr uint32_t kEnd = ~uint32_t{0};

// The finalizer of MurmurHash3: every bit of the pair moves every bit of the place.
uint64_t mix(uint64_t x) {
  x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
  x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
  return x ^ x >> 33;
}

uint64_t pair_of(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

}  // namespace

MergeTable::MergeTable(size_t expected)
    : slots_(std::bit_ceil(std::max<size_t>(16, expected * 2))) {
  std::random_device random;
  seed_ = uint64_t{random()} << 32 | random();
}

size_t MergeTable::place(uint64_t pair) const {
  const size_t mask = slots_.size() - 1;
  size_t i = mix(pair ^ seed_) & mask;
  while (slots_[i].pair != pair && slots_[i].merge.id >= 0) i = (i + 1) & mask;
  return i;
}

void MergeTable::add(int32_t left, int32_t right, Merge merge) {
  NIBBLE_CHECK(left >= 0 && right >= 0 && merge.id >= 0 && merge.rank != kNone);
  if ((count_ + 1) * 2 > slots_.size()) {
    const std::vector<Slot> old = std::move(slots_);
    slots_.assign(old.size() * 2, {});
    for (const Slot& slot : old) {
      if (slot.merge.id >= 0) slots_[place(slot.pair)] = slot;
    }
  }
  Slot& slot = slots_[place(pair_of(left, right))];
  if (slot.merge.id < 0) ++count_;
  slot = {pair_of(left, right), merge};
}

Merge MergeTable::find(int32_t left, int32_t right) const {
  return slots_[place(pair_of(left, right))].merge;
}

std::vector<MergeOfTwo> MergeTable::by_rank() const {
  std::vector<MergeOfTwo> out;
  out.reserve(count_);
  for (const Slot& slot : slots_) {
    if (slot.merge.id < 0) continue;
    out.push_back(
        {static_cast<int32_t>(slot.pair >> 32), static_cast<int32_t>(slot.pair), slot.merge});
  }
  std::sort(out.begin(), out.end(), [](const MergeOfTwo& a, const MergeOfTwo& b) {
    return std::tuple(a.merge.rank, a.left, a.right) < std::tuple(b.merge.rank, b.left, b.right);
  });
  return out;
}

void Merger::run(std::vector<int32_t>& symbols) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kShort) return run_short(symbols);
  run_long(symbols);
}

void Merger::run_short(std::vector<int32_t>& symbols) {
  const auto merge_at = [&](size_t i) {
    return i + 1 < symbols.size() ? table_.find(symbols[i], symbols[i + 1])
                                  : Merge{MergeTable::kNone, -1};
  };
  merges_.resize(symbols.size());
  for (size_t i = 0; i < symbols.size(); ++i) merges_[i] = merge_at(i);
  while (true) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < symbols.size(); ++i) {
      if (merges_[i].rank < merges_[best].rank) best = i;
    }
    if (merges_[best].rank == MergeTable::kNone) return;
    const auto after = static_cast<ptrdiff_t>(best) + 1;
    symbols[best] = merges_[best].id;
    symbols.erase(symbols.begin() + after);
    merges_.erase(merges_.begin() + after);
    merges_[best] = merge_at(best);
    if (best > 0) merges_[best - 1] = merge_at(best - 1);
  }
}

// A heap of four children a node: half as deep, and the children share a cache line.
void Merger::push(uint64_t item) {
  size_t i = heap_.size();
  heap_.push_back(item);
  while (i > 0 && heap_[(i - 1) / 4] > item) {
    heap_[i] = heap_[(i - 1) / 4];
    i = (i - 1) / 4;
  }
  heap_[i] = item;
}

uint64_t Merger::pop() {
  const uint64_t top = heap_.front(), item = heap_.back();
  heap_.pop_back();
  const size_t size = heap_.size();
  for (size_t i = 0; size > 0;) {
    size_t child = 4 * i + 1;
    if (child >= size) {
      heap_[i] = item;
      break;
    }
    const size_t last = std::min(child + 4, size);
    for (size_t c = child + 1; c < last; ++c) {
      if (heap_[c] < heap_[child]) child = c;
    }
    if (heap_[child] >= item) {
      heap_[i] = item;
      break;
    }
    heap_[i] = heap_[child];
    i = child;
  }
  return top;
}

// Looks up what symbol i and its successor become and enters that.
void Merger::look(const std::vector<int32_t>& symbols, uint32_t i) {
  merges_[i] =
      next_[i] == kEnd ? Merge{MergeTable::kNone, -1} : table_.find(symbols[i], symbols[next_[i]]);
  if (merges_[i].id >= 0) push(uint64_t{merges_[i].rank} << 32 | i);
}

void Merger::run_long(std::vector<int32_t>& symbols) {
  NIBBLE_CHECK(symbols.size() < kEnd);
  const auto n = static_cast<uint32_t>(symbols.size());
  uint32_t first = 0;
  while (first + 1 < n && table_.find(symbols[first], symbols[first + 1]).id < 0) ++first;
  if (first + 1 == n) return;  // nothing merges: no memory needed
  merges_.resize(n), next_.resize(n), previous_.resize(n);
  heap_.clear();
  for (uint32_t i = 0; i < n; ++i) {
    merges_[i] = i + 1 < n ? table_.find(symbols[i], symbols[i + 1]) : Merge{MergeTable::kNone, -1};
    if (merges_[i].id >= 0) push(uint64_t{merges_[i].rank} << 32 | i);
  }
  for (uint32_t i = 0; i < n; ++i) {
    next_[i] = i + 1 < n ? i + 1 : kEnd;
    previous_[i] = i - 1;  // kEnd for 0
  }
  while (!heap_.empty()) {
    const uint64_t top = pop();
    const auto i = static_cast<uint32_t>(top);
    if (merges_[i].rank != top >> 32) continue;  // overtaken by another merge
    const uint32_t gone = next_[i];
    symbols[i] = merges_[i].id;
    merges_[gone] = {MergeTable::kNone, -1};
    next_[i] = next_[gone];
    if (next_[i] != kEnd) previous_[next_[i]] = i;
    look(symbols, i);
    if (previous_[i] != kEnd) look(symbols, previous_[i]);
  }
  uint32_t out = 0;
  for (uint32_t i = 0; i != kEnd; i = next_[i]) symbols[out++] = symbols[i];
  symbols.resize(out);
}

}  // namespace nibble
