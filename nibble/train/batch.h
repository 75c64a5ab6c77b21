// A batch without padding: the tokens of all its sequences one after another.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace nibble {

/// Row r reads token[r] at position[r] of its sequence and must predict target[r], nothing where
/// that is negative. Sequence s is the rows [starts[s], starts[s + 1]).
struct Batch {
  std::vector<int32_t> token, target, position;
  std::vector<int64_t> starts = {0};

  int64_t rows() const { return starts.back(); }
  int64_t targets() const;  ///< rows that predict something
  int64_t sequences() const { return static_cast<int64_t>(starts.size()) - 1; }
  void clear();
  /// A sequence of n + 1 ids becomes n rows. An id that is read and not predicted is given as
  /// unlearnt(id).
  void append(std::span<const int32_t> ids);
};

/// How sequences have an id that is read and not predicted; the same gives it back.
inline constexpr int32_t unlearnt(int32_t id) { return ~id; }
/// The id itself, of either kind.
inline constexpr int32_t id_of(int32_t given) { return given < 0 ? unlearnt(given) : given; }

/// The sequences [begin, end) of a batch.
struct Chunk {
  int64_t begin = 0, end = 0;
  int64_t first_row = 0, rows = 0;
};

/// Cuts a batch into at most `limit` chunks of about equal numbers of rows. What they are depends
/// on the batch alone, never on the number of threads, so that sums over chunks do not either.
std::vector<Chunk> cut_into_chunks(const Batch& batch, int64_t limit);

}  // namespace nibble
