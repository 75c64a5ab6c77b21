// Grids: the values that one group of weights can take, and a matrix of codes on them while a
// method works on it. Methods speak of grids only, so that a new number format joins all of them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "nibble/quant/quantized_tensor.h"

namespace nibble {

/// What the levels of a scheme are before they are scaled: whole numbers. A level u stands for
/// u * scale, or u * scale + offset; its code is u + zero, or the place that u has among `values`.
struct LevelRange {
  int bits = 0;
  bool asymmetric = false;
  int low = 0, high = 0;  ///< of the levels where the scheme is symmetric
  /// Block types of GGUF (NumberKind::blocks): scales, and offsets where there are, are settled a
  /// block at a time (block_scales.h), and methods leave them as they are.
  bool blocks = false, offsets = false;
  /// The levels that there are, ascending; empty where every whole number is one.
  std::span<const float> values;
  int codes() const { return 1 << bits; }

  static LevelRange whole(int bits, int low, int high) {
    LevelRange out;
    out.bits = bits, out.low = low, out.high = high;
    return out;
  }
};

/// Error{unsupported} for schemes whose levels are no whole numbers; `method` is for the message.
LevelRange level_range(const QuantScheme& scheme, std::string_view method);

/// One group's grid. |scale| is a value that its stored type holds. A symmetric grid may have a
/// negative scale: its one extra level then lies on the positive side.
struct Grid {
  float scale = 0;
  float low = 0, high = 0;  ///< levels
  float offset = 0;         ///< LevelRange::offsets: what is added to a level times the scale
};

/// The level nearest to v / scale, halves to even; 0 where the scale is 0.
inline float nearest_level(float v, float scale, float low, float high) {
  if (scale == 0) return 0;
  const float u = v / scale, clamped = u < low ? low : (u > high ? high : u);
  return (clamped + 0x1.8p23f) - 0x1.8p23f;
}
/// The same among `values`, ascending; in the middle between two the lower one.
float nearest_value(float u, std::span<const float> values);
inline float nearest_level(float v, const Grid& g, const LevelRange& range) {
  if (range.values.empty()) return nearest_level(v, g.scale, g.low, g.high);
  return nearest_value(g.scale == 0 ? 0 : v / g.scale, range.values);
}

/// What the scales of block types are made of, a byte of each group times a float of each block of
/// kSuperBlock inputs in a row; empty where scales are numbers themselves.
struct TwoLevels {
  std::vector<int8_t> scale, offset;             ///< [n * groups]
  std::vector<float> super_scale, super_offset;  ///< [n * blocks]
};

/// `scale` of either sign rounded to `dtype`. Infinity where it does not fit.
float round_signed_scale(float scale, DType dtype);

/// The grid for weights between low <= 0 and high >= 0, as rtn chooses it; `divisor` is what
/// absmax is divided by where the range is symmetric.
Grid grid_of_range(const LevelRange& range, float low, float high, float divisor, DType dtype);

/// Codes and grids of a weight [n, k] under construction.
class GridMatrix {
 public:
  GridMatrix(const QuantScheme& scheme, int64_t n, int64_t k, DType scale_dtype,
             std::string_view method);

  const QuantScheme& scheme() const { return scheme_; }
  const LevelRange& range() const { return range_; }
  DType scale_dtype() const { return scale_dtype_; }
  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  int64_t group() const { return group_; }    ///< columns that share a grid
  int64_t groups() const { return groups_; }  ///< grids of a row
  /// True where all rows share one grid (granularity tensor): methods leave it as it is.
  bool shared() const { return shared_; }
  /// False where methods leave grids as they are.
  bool grids_can_change() const { return !shared_ && !range_.blocks; }

  Grid& grid(int64_t row, int64_t group) {
    return grids_[static_cast<size_t>(shared_ ? 0 : row * groups_ + group)];
  }
  const Grid& grid(int64_t row, int64_t group) const {
    return grids_[static_cast<size_t>(shared_ ? 0 : row * groups_ + group)];
  }
  /// Levels of one row, [k].
  std::span<int16_t> levels(int64_t row) {
    return {levels_.data() + row * k_, static_cast<size_t>(k_)};
  }
  std::span<const int16_t> levels(int64_t row) const {
    return {levels_.data() + row * k_, static_cast<size_t>(k_)};
  }
  /// A level times its scale: the weight it stands for, less the offset of its group.
  float value(int64_t row, int64_t column) const {
    return static_cast<float>(levels_[static_cast<size_t>(row * k_ + column)]) *
           grid(row, column / group_).scale;
  }
  /// The weights this stands for, [n, k].
  std::vector<float> values() const;
  /// w less the offsets, in `room` where there are any: what levels are chosen for.
  std::span<const float> aim(std::span<const float> w, std::vector<float>& room) const;
  TwoLevels& two_levels() { return two_levels_; }
  /// Error{corrupt} naming the tensor where a scale does not fit its type.
  void require_finite_scales(std::string_view name) const;
  QuantizedTensor pack() const;
  /// The grids and codes of a finished tensor.
  static GridMatrix unpack(const QuantizedTensor& q, std::string_view method);

 private:
  QuantScheme scheme_;
  LevelRange range_;
  DType scale_dtype_;
  int64_t n_, k_, group_, groups_;
  bool shared_;
  void pack_scales(QuantizedTensor& out) const;
  void unpack_scales(const QuantizedTensor& q);
  uint8_t code_of(int16_t level, const Grid& g) const;
  int16_t level_of(uint8_t code, const Grid& g) const;

  std::vector<Grid> grids_;
  std::vector<int16_t> levels_;
  TwoLevels two_levels_;
};

}  // namespace nibble
