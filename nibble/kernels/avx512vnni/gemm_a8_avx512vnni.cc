// Codes times int8 rows by vpdpbusd on 512-bit vectors: unsigned codes times signed x codes,
// without saturation. The zero point is taken off by the sum of the row's codes.
#include <immintrin.h>

#include "nibble/kernels/avx512/vectors.h"

namespace nibble {
namespace {

constexpr int kRowTile = 6, kVectorTile = 4, kOneRowVectors = 4;

template <bool kBytes>
inline I spread(const int8_t* x) {
  int four;
  __builtin_memcpy(&four, x, 4);
  return _mm512_set1_epi32(four);
}
template <bool kBytes>
inline I dot(I acc, I w, I x) {
  // Not the intrinsic: around it GCC 12 copies every sum from register to register and to memory.
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(w), "v"(x));
  return acc;
}

#include "nibble/kernels/gemm_a8.inc"

}  // namespace

extern const Kernel gemm_i8_avx512vnni, gemm_i4_avx512vnni, gemm_narrow_a8_avx512vnni;
constinit const Kernel gemm_i8_avx512vnni =
    kernel(KernelIsa::avx512vnni, "gemm_i8_avx512vnni", is_i8, run_codes<8>);
constinit const Kernel gemm_i4_avx512vnni =
    kernel(KernelIsa::avx512vnni, "gemm_i4_avx512vnni", is_i4, run_codes<4>);
constinit const Kernel gemm_narrow_a8_avx512vnni =
    kernel(KernelIsa::avx512vnni, "gemm_narrow_a8_avx512vnni", is_narrow, run_narrow);

}  // namespace nibble
