// The eight AMX tile registers as gemm_a8_tiles.inc uses them: sums 0 to 3 (two tiles of rows times
// two of outputs), x codes 4 and 5, weight codes 6 and 7. In assembly, because GCC 12's intrinsics
// do not tell the compiler that they read memory. Internal linkage as in avx512/vectors.h.
#pragma once

#include <cstdint>

namespace nibble {
namespace {

// What ldtilecfg reads (Intel SDM volume 1, 18.2, palette 1).
struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// 16 rows of x and 32 outputs at a time, `inputs` (32 or 64) a step. Until tiles_end() the thread
// keeps the registers; the sums are not defined yet.
inline void tiles_begin(int inputs) {
  TileConfig c;
  for (int tile = 0; tile < 8; ++tile) {
    const bool is_x = tile == 4 || tile == 5, is_w = tile >= 6;
    c.rows[tile] = static_cast<uint8_t>(is_w ? inputs / 4 : 16);
    c.row_bytes[tile] = static_cast<uint16_t>(is_x ? inputs : 64);
  }
  asm volatile("ldtilecfg %0" : : "m"(c) : "memory");
}
inline void tiles_end() { asm volatile("tilerelease"); }

#define NIBBLE_TILE_LOAD(tile) \
  asm volatile("tileloadd (%0,%1,1), %%tmm" tile : : "r"(p), "r"(stride) : "memory")
#define NIBBLE_TILE_STORE(tile) \
  asm volatile("tilestored %%tmm" tile ", (%0,%1,1)" : : "r"(p), "r"(stride) : "memory")

template <int kSum>
inline void zero_sum() {
  if constexpr (kSum == 0) asm volatile("tilezero %tmm0");
  if constexpr (kSum == 1) asm volatile("tilezero %tmm1");
  if constexpr (kSum == 2) asm volatile("tilezero %tmm2");
  if constexpr (kSum == 3) asm volatile("tilezero %tmm3");
}
template <int kSum>
inline void load_sum(const int32_t* p, int64_t stride) {
  if constexpr (kSum == 0) NIBBLE_TILE_LOAD("0");
  if constexpr (kSum == 1) NIBBLE_TILE_LOAD("1");
  if constexpr (kSum == 2) NIBBLE_TILE_LOAD("2");
  if constexpr (kSum == 3) NIBBLE_TILE_LOAD("3");
}
template <int kSum>
inline void store_sum(int32_t* p, int64_t stride) {
  if constexpr (kSum == 0) NIBBLE_TILE_STORE("0");
  if constexpr (kSum == 1) NIBBLE_TILE_STORE("1");
  if constexpr (kSum == 2) NIBBLE_TILE_STORE("2");
  if constexpr (kSum == 3) NIBBLE_TILE_STORE("3");
}
template <int kWhich>
inline void load_x(const int8_t* p, int64_t stride) {
  if constexpr (kWhich == 0) NIBBLE_TILE_LOAD("4");
  if constexpr (kWhich == 1) NIBBLE_TILE_LOAD("5");
}
template <int kWhich>
inline void load_w(const uint8_t* p, int64_t stride) {
  if constexpr (kWhich == 0) NIBBLE_TILE_LOAD("6");
  if constexpr (kWhich == 1) NIBBLE_TILE_LOAD("7");
}
// Sum 2 * kX + kW += x codes kX (signed) times weight codes kW (unsigned).
template <int kX, int kW>
inline void multiply_tiles() {
  if constexpr (kX == 0 && kW == 0) asm volatile("tdpbsud %tmm6, %tmm4, %tmm0");
  if constexpr (kX == 0 && kW == 1) asm volatile("tdpbsud %tmm7, %tmm4, %tmm1");
  if constexpr (kX == 1 && kW == 0) asm volatile("tdpbsud %tmm6, %tmm5, %tmm2");
  if constexpr (kX == 1 && kW == 1) asm volatile("tdpbsud %tmm7, %tmm5, %tmm3");
}

#undef NIBBLE_TILE_LOAD
#undef NIBBLE_TILE_STORE

}  // namespace
}  // namespace nibble
