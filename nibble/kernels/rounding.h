// RoundingOps: the inner loops of rounding with error feedback, for kRoundingLanes rows of a weight
// side by side (matrices are then [columns][kRoundingLanes]), or for one row. A set for each
// instruction set; results of two sets differ by rounding.
#pragma once

#include <cstdint>

namespace nibble {

constexpr int64_t kRoundingLanes = 16;
constexpr int kRoundingValues = 16;

/// Neighbouring columns of one group, rounded one after the other: what column j is rounded from is
/// v_j = target_j + sum over i < j of feedback[i, j] (target_i - q_i).
struct RoundTile {
  int64_t size = 0;                             ///< columns
  const float* feedback = nullptr;              ///< [size, size], its upper triangle is read
  const float* weight = nullptr;                ///< [size]: what a miss (v_j - q_j)^2 costs
  const float* target = nullptr;                ///< [size][lanes]
  const float* scale = nullptr;                 ///< [lanes]; q = level * scale
  const float *low = nullptr, *high = nullptr;  ///< [lanes]: the least and the largest level
  /// The kRoundingValues levels that there are, ascending; null: every whole number is one.
  const float* values = nullptr;
  float* error = nullptr;  ///< [lanes] out: sum of weight_j (v_j - q_j)^2
  float* level = nullptr;  ///< [size][lanes] out: whole numbers
  float* left = nullptr;   ///< [size][lanes] out: target - q
};

constexpr int64_t kRoundingColumns = 128;

/// Columns of one row, each on a grid of its own: v_j = start_j + sum over i < j of feedback[i, j]
/// (target_i - q_i). Arrays have room for kRoundingColumns.
struct RoundRow {
  int64_t size = 0;                 ///< columns, at most kRoundingColumns
  const float* feedback = nullptr;  ///< [size, kRoundingColumns], 0 on and below the diagonal
  const float* target = nullptr;
  const float *scale = nullptr, *low = nullptr, *high = nullptr;
  float* v = nullptr;             ///< start_j in, v_j out
  float* level = nullptr;         ///< out: whole numbers
  float* left = nullptr;          ///< out: target - q
  const float* values = nullptr;  ///< as in RoundTile
};

struct RoundingOps {
  const char* name;
  void (*round)(const RoundTile& tile);
  void (*round_row)(const RoundRow& row);
  /// y[j] = sum over i of a[i * lda + j] x[i], for i < m and j < n; x [m][lanes], y [n][lanes].
  void (*combine)(int64_t m, int64_t n, const float* a, int64_t lda, const float* x, float* y);
  /// to[i] = from[i] in the lanes where take is not 0; from, to [n][lanes], take [lanes].
  void (*select)(int64_t n, const float* take, const float* from, float* to);
};

const RoundingOps& ref_rounding_ops();
const RoundingOps& avx2_rounding_ops();
const RoundingOps& avx512_rounding_ops();
/// The fastest set that the processor and NIBBLE_ISA allow.
const RoundingOps& best_rounding_ops();

}  // namespace nibble
