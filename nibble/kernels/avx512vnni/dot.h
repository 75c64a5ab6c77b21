// Four codes of x times four of w by vpdpbusd on 512-bit vectors: unsigned codes times signed x
// codes, without saturation. For gemm_a8.inc; internal linkage as in vectors.h.
#pragma once

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

}  // namespace
}  // namespace nibble
