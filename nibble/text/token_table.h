// TokenTable: the strings of a vocabulary and their ids, both ways. One arena, one hash table.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

/// Vocabularies from outside: at most 2,097,152 tokens of 1 to 65,536 bytes.
constexpr int64_t kMaxTokens = 1 << 21;
constexpr size_t kMaxTokenBytes = 1 << 16;

class TokenTable {
 public:
  TokenTable();
  /// Error{corrupt} naming the token: text or id taken, id outside the limits, text empty (unless
  /// `allow_empty`) or too long.
  void add(std::string_view text, int64_t id, bool allow_empty = false);
  /// Adds under the id where neither is there; nothing to do where that pair is there already.
  void add_or_match(std::string_view text, int64_t id);
  /// -1 where the text is no token.
  int32_t find(std::string_view text) const { return find_hashed(text, hash(text)); }
  bool contains(int32_t id) const {
    return id >= 0 && id < size() && entries_[static_cast<size_t>(id)].length != kAbsent;
  }
  std::string_view text(int32_t id) const {
    const Entry& e = entries_[static_cast<size_t>(id)];
    return {arena_.data() + e.offset, e.length};
  }
  /// One more than the largest id.
  int32_t size() const { return static_cast<int32_t>(entries_.size()); }
  /// Error{corrupt} naming the first id below size() that no token has.
  void check_complete() const;

  /// find() in two steps, so that a caller with many to find can wait for memory once.
  uint64_t hash(std::string_view text) const;
  void prefetch(uint64_t hash) const { __builtin_prefetch(&slots_[hash & (slots_.size() - 1)]); }
  int32_t find_hashed(std::string_view text, uint64_t hash) const;

 private:
  static constexpr uint32_t kAbsent = ~uint32_t{0};
  struct Entry {
    uint32_t offset = 0, length = kAbsent;
  };
  struct Slot {
    uint32_t tag = 0;
    int32_t id = -1;
  };
  void insert(uint64_t hash, int32_t id);
  void grow();

  uint64_t seed_;  // a secret of this table, so that no file can crowd it; no result depends on it
  std::string arena_;
  std::vector<Entry> entries_;  // by id
  std::vector<Slot> slots_;     // a power of two
  size_t count_ = 0;
};

}  // namespace nibble
