// InputReading: how some members of a group read the rows of x: in which order, rounded to what.
// Members that read alike share one; most groups have one reading, which changes nothing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "nibble/core/checked.h"
#include "nibble/kernels/kernel.h"
#include "nibble/kernels/layer.h"
#include "nibble/nn/packed_weight.h"

namespace nibble {

/// Bytes, as whole cache lines.
inline int64_t whole_lines(int64_t bytes) { return ceil_div(bytes, 64) * 64; }

class InputReading {
 public:
  /// Where the parts of m rows lie, and how many bytes they take.
  struct Parts {
    Parts() = default;
    Parts(const InputReading& r, int64_t rows_of_x);
    int64_t row_scales = 0, counts = 0, sums = 0, narrow = 0, rows = 0, m = 0, bytes = 0;
  };

  explicit InputReading(const PackedWeight& first);

  /// True where `w` reads the same rows: one order, rounded to fp8 both or neither.
  bool fits(const PackedWeight& w) const;
  /// Takes a member in. Error{unsupported} naming it where its inputs become other codes.
  void add(const PackedWeight& w);

  /// f32 values of scratch that prepare() needs.
  int64_t scratch_floats() const;
  /// True where rows must be prepared before a kernel reads them.
  bool prepares() const { return copies() || coding_ || bf16_; }

  /// Reads rows [begin, end) of x [m, k] into `at`, 64-byte aligned, of p.bytes.
  void prepare(const float* x, const Parts& p, int64_t begin, int64_t end, std::byte* at,
               float* scratch) const;
  /// `count` rows from `row` on as a kernel takes them, for a member of these traits.
  GemmInput input(const GemmTraits& traits, const float* x, const Parts& p, int64_t row,
                  int64_t count, std::byte* at) const;
  /// The rows as f32, in this order.
  const float* rows(const float* x, const Parts& p, const std::byte* at) const {
    return copies() ? reinterpret_cast<const float*>(at + p.rows) : x;
  }
  /// What codes of each row leave out, where they leave out anything.
  static const int32_t* counts(const Parts& p, const std::byte* at) {
    return reinterpret_cast<const int32_t*>(at + p.counts);
  }

 private:
  bool copies() const { return fp8_ || !order_.empty(); }
  void copy(const float* x, int64_t rows, float* to) const;
  void encode(const float* x, int64_t rows, const Parts& p, int64_t begin, std::byte* at,
              float* scratch) const;

  int64_t k_, code_stride_;
  std::span<const int32_t> order_;  // of the first member, or none
  bool fp8_, bf16_ = false;
  const Kernel* quantize_ = nullptr;
  std::optional<InputCoding> coding_;  // of every member that reads codes
  std::vector<int64_t> sum_groups_;    // the group sizes whose code sums members need
  const LayerOps* ops_;
};

}  // namespace nibble
