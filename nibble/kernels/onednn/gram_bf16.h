// Sums of outer products of rows in bf16 by oneDNN, on the calling thread alone.
#pragma once

#include <cstdint>

namespace nibble {

/// True where the processor multiplies bf16 (AVX512-BF16, AMX) and NIBBLE_ISA allows it: about
/// twice as fast as f32 (docs/performance.md).
bool has_bf16_products();

/// c[m, n] (ldc) += a^T b for a [rows, m] (lda) and b [rows, n] (ldb), both bf16; sums in f32.
void onednn_gram_bf16(int64_t m, int64_t n, int64_t rows, const uint16_t* a, int64_t lda,
                      const uint16_t* b, int64_t ldb, float* c, int64_t ldc);

}  // namespace nibble
