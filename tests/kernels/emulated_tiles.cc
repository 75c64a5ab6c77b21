#include "tests/kernels/emulated_tiles.h"

#if defined(__x86_64__)

#include "nibble/kernels/avx512vnni/dot.h"

namespace nibble {
namespace {

struct Tile {
  int rows, row_bytes;
  uint8_t bytes[16][64];
};
thread_local Tile tiles[8];

// As amx/tiles.h has them.
void tiles_begin(int inputs) {
  for (int tile = 0; tile < 8; ++tile) {
    __builtin_memset(&tiles[tile], 0xAB, sizeof(Tile));
    tiles[tile].rows = tile >= 6 ? inputs / 4 : 16;
    tiles[tile].row_bytes = tile == 4 || tile == 5 ? inputs : 64;
  }
}
void tiles_end() {
  for (Tile& t : tiles) t.rows = t.row_bytes = 0;
}
void load(Tile& t, const void* p, int64_t stride) {
  for (int r = 0; r < t.rows; ++r)
    __builtin_memcpy(t.bytes[r], static_cast<const uint8_t*>(p) + r * stride,
                     static_cast<size_t>(t.row_bytes));
}
template <int kSum>
void zero_sum() {
  __builtin_memset(tiles[kSum].bytes, 0, sizeof(tiles[kSum].bytes));
}
template <int kSum>
void load_sum(const int32_t* p, int64_t stride) {
  load(tiles[kSum], p, stride);
}
template <int kSum>
void store_sum(int32_t* p, int64_t stride) {
  const Tile& t = tiles[kSum];
  for (int r = 0; r < t.rows; ++r)
    __builtin_memcpy(reinterpret_cast<uint8_t*>(p) + r * stride, t.bytes[r],
                     static_cast<size_t>(t.row_bytes));
}
template <int kWhich>
void load_x(const int8_t* p, int64_t stride) {
  load(tiles[4 + kWhich], p, stride);
}
template <int kWhich>
void load_w(const uint8_t* p, int64_t stride) {
  load(tiles[6 + kWhich], p, stride);
}
// tdpbsud: signed bytes of x times unsigned bytes of w.
template <int kX, int kW>
void multiply_tiles() {
  const Tile &x = tiles[4 + kX], &w = tiles[6 + kW];
  Tile& sum = tiles[2 * kX + kW];
  for (int m = 0; m < sum.rows; ++m) {
    for (int n = 0; n < sum.row_bytes / 4; ++n) {
      int32_t at;
      __builtin_memcpy(&at, sum.bytes[m] + 4 * n, 4);
      for (int k = 0; k < x.row_bytes; ++k)
        at += static_cast<int8_t>(x.bytes[m][k]) * w.bytes[k / 4][4 * n + k % 4];
      __builtin_memcpy(sum.bytes[m] + 4 * n, &at, 4);
    }
  }
}

#include "nibble/kernels/gemm_a8.inc"
#include "nibble/kernels/gemm_a8_tiles.inc"

constexpr KernelIsa kIsa = KernelIsa::avx512vnni;

}  // namespace

constinit const Kernel gemm_i8_emulated_tiles =
    tiled_kernel(kIsa, "gemm_i8_emulated_tiles", is_i8, run_tiled<run_codes<8>>);
constinit const Kernel gemm_i4_emulated_tiles =
    tiled_kernel(kIsa, "gemm_i4_emulated_tiles", is_i4, run_tiled<run_codes<4>>);
constinit const Kernel gemm_narrow_emulated_tiles =
    tiled_kernel(kIsa, "gemm_narrow_emulated_tiles", is_narrow, run_tiled<run_narrow>);

}  // namespace nibble

#endif
