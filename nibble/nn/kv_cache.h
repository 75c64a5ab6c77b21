// KvCache: keys and values of the tokens seen so far, for every layer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "nibble/core/dtype.h"
#include "nibble/core/error.h"
#include "nibble/kernels/layer.h"

namespace nibble {

struct AttentionShape {
  int64_t heads = 0;
  int64_t kv_heads = 0;   ///< divides heads
  int64_t head_dim = 0;   ///< of queries and keys
  int64_t value_dim = 0;  ///< of values; 0: head_dim
  int64_t values() const { return value_dim > 0 ? value_dim : head_dim; }
  /// Queries that read one key head.
  int64_t shared() const { return heads / kv_heads; }

  bool operator==(const AttentionShape&) const = default;
};

/// What a model keeps of a sequence: keys and values of its attention layers, whose heads may
/// differ from layer to layer, and in layers with a state (short convolutions) `state` floats.
struct CacheShape {
  std::vector<AttentionShape> attention;  ///< of each layer that attends
  int64_t state_layers = 0, state = 0;

  bool operator==(const CacheShape&) const = default;
};

/// Of each layer, keys [kv head][position / 16][head_dim][16], so that a vector holds one element
/// of the keys of neighbouring positions; values [kv head][position][values() rounded up to 16]. In
/// f32, f16, or int8 with an f32 scale for each head and position (absmax / 127).
///
/// Memory is the system's in pages: taken as positions are written, given back by truncate(); what
/// is beyond the tokens costs addresses only, so that a capacity may be the model's whole context
/// (as vAttention has it, Prabhu et al. 2024, instead of tables of blocks that every kernel reads).
class KvCache {
 public:
  /// Error{unsupported} for a dtype that is none of f32, f16, i8.
  KvCache(const CacheShape& shape, int64_t capacity, DType dtype = DType::f32);
  /// For attention layers alone.
  KvCache(int64_t layers, int64_t capacity, const AttentionShape& shape, DType dtype = DType::f32)
      : KvCache({std::vector(static_cast<size_t>(layers), shape), 0, 0}, capacity, dtype) {}
  const CacheShape& shape() const { return shape_; }
  /// Tokens in the cache, and how many there can be.
  int64_t length() const { return length_; }
  int64_t capacity() const { return capacity_; }
  DType dtype() const { return dtype_; }
  void clear();
  /// Forgets all but the first `length` tokens and gives back the pages that held the others.
  /// Layers with a state know only their last one: `length` is then 0 or all of them (a broken
  /// promise otherwise).
  void truncate(int64_t length);
  /// Becomes the first `length` tokens of `other`, a cache of the same shape and type, of which it
  /// holds as many (a prompt that several texts begin with is read once). States as in truncate().
  void copy_prefix(const KvCache& other, int64_t length);
  /// What a pass has written behind the tokens that were there becomes part of them: m more, and
  /// the next states. Until then the cache is as it was. The caller checked the capacity.
  void advance(int64_t m) { length_ += m, now_ = 1 - now_; }
  /// The state of a layer (0 .. state_layers - 1) behind the tokens that are there, and where a
  /// pass puts the one behind its own.
  std::span<const float> state(int64_t layer) const { return of_state(layer, now_); }
  std::span<float> next_state(int64_t layer) { return of_state(layer, 1 - now_); }
  /// `layer` counts attention layers only. Writes the key (head_dim elements) and the value
  /// (values() of them) of one head at a position of a layer. In f16, values beyond its range
  /// become its largest ones, which take_range_error() tells. Different heads and positions may be
  /// written by different threads.
  void write(int64_t layer, int64_t head, int64_t position, const float* key, const float* value);
  /// Error{corrupt} where a key or a value did not fit f16: beyond its largest number, or all of it
  /// so small that no digits are left; it is told once, as the pass that wrote it is none. For one
  /// thread, between passes.
  std::optional<Error> take_range_error();
  /// Fills in the fields of `rows` that say where the keys and values of one head are.
  void describe(int64_t layer, int64_t head, AttendRows& rows) const;
  CacheType type() const;
  /// Bytes of all positions, written or not, and of the states.
  size_t memory_bytes() const;
  /// The same of a cache that is not made yet; nullopt where 64 bits do not count them.
  static std::optional<int64_t> bytes(const CacheShape& shape, int64_t capacity, DType dtype);
  /// What one position more takes.
  static int64_t bytes_per_token(const CacheShape& shape, DType dtype);

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  using Memory = std::unique_ptr<std::byte[], Free>;
  // An array of rows in order of head and position.
  struct Part {
    std::byte* data;
    int64_t heads, row_bytes, unit;  // positions come in units (blocks of keys)
  };
  // Where a layer's keys and values begin, in bytes, and the scales of its rows.
  struct Room {
    int64_t keys, values, scales;
  };
  const AttentionShape& heads(int64_t layer) const {
    return shape_.attention[static_cast<size_t>(layer)];
  }
  const Room& room(int64_t layer) const { return rooms_[static_cast<size_t>(layer)]; }
  std::vector<Part> parts() const;
  size_t state_bytes() const;
  std::span<float> of_state(int64_t layer, int which) const {
    const auto size = static_cast<size_t>(shape_.state);
    const auto at = static_cast<size_t>(which * shape_.state_layers + layer) * size;
    return {reinterpret_cast<float*>(states_.get()) + at, size};
  }

  void check_range(const float* x, int64_t n);

  int64_t capacity_, padded_, length_ = 0;
  CacheShape shape_;
  int now_ = 0;  // which half of the states is the one behind the tokens
  DType dtype_;
  int64_t element_;  // bytes
  std::vector<Room> rooms_;
  float misfit_ = 0;  // the largest magnitude among rows that did not fit f16
  Memory keys_, values_, key_scales_, value_scales_, states_;
};

}  // namespace nibble
