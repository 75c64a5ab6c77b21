// The merges of byte-pair encoding: which two tokens become which, and in what order.
// Sennrich, Haddow, Birch 2016, "Neural Machine Translation of Rare Words with Subword Units", 3.2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nibble {

struct Merge {
  uint32_t rank;  ///< lower goes first; pairs of equal rank go from left to right
  int32_t id;     ///< what the two become
};

struct MergeOfTwo {
  int32_t left, right;
  Merge merge;
};

class MergeTable {
 public:
  static constexpr uint32_t kNone = ~uint32_t{0};

  explicit MergeTable(size_t expected = 0);
  /// The last one wins where a pair comes twice, as in Hugging Face's tokenizers.
  void add(int32_t left, int32_t right, Merge merge);
  /// {kNone, -1} where the two do not merge.
  Merge find(int32_t left, int32_t right) const;
  size_t size() const { return count_; }
  /// All of them: lower ranks first, those of equal rank by their ids.
  std::vector<MergeOfTwo> by_rank() const;

 private:
  struct Slot {
    uint64_t pair = ~uint64_t{0};
    Merge merge = {kNone, -1};
  };
  size_t place(uint64_t pair) const;
  uint64_t seed_;
  std::vector<Slot> slots_;  // a power of two
  size_t count_ = 0;
};

/// Merges symbols until no pair merges, always the lowest rank and of those the leftmost. Keeps
/// its memory for the next word; one for each thread.
class Merger {
 public:
  explicit Merger(const MergeTable& table) : table_(table) {}
  /// In place. O(n log n).
  void run(std::vector<int32_t>& symbols);

 private:
  void run_short(std::vector<int32_t>& symbols);
  void run_long(std::vector<int32_t>& symbols);
  void look(const std::vector<int32_t>& symbols, uint32_t i);
  void push(uint64_t item);
  uint64_t pop();

  const MergeTable& table_;
  std::vector<Merge> merges_;  // of symbol i with the next one
  std::vector<uint32_t> next_, previous_;
  std::vector<uint64_t> heap_;  // rank << 32 | symbol
};

}  // namespace nibble
