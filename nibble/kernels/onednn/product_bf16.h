// Products in bf16 with sums in f32 by oneDNN, on the calling thread alone.
#pragma once

#include <cstdint>

#include "nibble/kernels/kernel.h"

namespace nibble {

/// True where the processor multiplies bf16 (AVX512-BF16, AMX) and NIBBLE_ISA allows it: about
/// twice as fast as f32 (docs/performance.md).
bool has_bf16_products();

/// c[m, n] (ldc) = a b, + c where `accumulate`. Element (i, j) of a [m, k] is a[i * a_row + j *
/// a_column], and so with b [k, n]; one of the two steps of each must be 1. A packed b has at most
/// 64 columns in oneDNN's layout BA16a64b2a: pairs of rows beside each other, 64 columns of them
/// (the missing ones 0), 16 pairs to a block; its steps are 0 and ldc is n: oneDNN has but slow
/// reference code for it otherwise.
struct Bf16Product {
  int64_t m = 0, n = 0, k = 0;
  const uint16_t* a = nullptr;
  int64_t a_row = 0, a_column = 0;
  const uint16_t* b = nullptr;
  int64_t b_row = 0, b_column = 0;
  float* c = nullptr;
  int64_t ldc = 0;
  bool accumulate = false;
};
void onednn_product(const Bf16Product& product);

/// Multiplies rows that were rounded to bf16 (GemmInput::narrow) with bf16 weights. Not
/// in the list of kernels and never chosen for inference: it rounds the rows, and sums in oneDNN's
/// order. Only where has_bf16_products().
const Kernel& gemm_bf16_onednn();

}  // namespace nibble
