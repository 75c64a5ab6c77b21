// Codes times int8 rows by the 256-bit vpdpbusd that processors without AVX-512 have.
#include <immintrin.h>

#include "nibble/kernels/avx2/vectors.h"

namespace nibble {
namespace {

constexpr int kRowTile = 6, kVectorTile = 2, kOneRowVectors = 4;

template <bool kBytes>
inline I spread(const int8_t* x) {
  return four_codes(x);
}
template <bool kBytes>
inline I dot(I acc, I w, I x) {
  // Not the intrinsic: around it GCC 12 copies every sum from register to register and to memory.
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(acc) : "x"(w), "x"(x));
  return acc;
}

#include "nibble/kernels/gemm_a8.inc"

}  // namespace

extern const Kernel gemm_i8_avxvnni, gemm_i4_avxvnni, gemm_narrow_a8_avxvnni;
constinit const Kernel gemm_i8_avxvnni =
    kernel(KernelIsa::avxvnni, "gemm_i8_avxvnni", is_i8, run_codes<8>);
constinit const Kernel gemm_i4_avxvnni =
    kernel(KernelIsa::avxvnni, "gemm_i4_avxvnni", is_i4, run_codes<4>);
constinit const Kernel gemm_narrow_a8_avxvnni =
    kernel(KernelIsa::avxvnni, "gemm_narrow_a8_avxvnni", is_narrow, run_narrow);

}  // namespace nibble
