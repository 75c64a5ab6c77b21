// f32, f16, bf16 weights and codes times f32 rows on 256-bit vectors.
#include <immintrin.h>

#include "nibble/kernels/avx2/vectors.h"

namespace nibble {
namespace {

constexpr int kRowTile = 6, kVectorTile = 2, kOneRowVectors = 4;

#include "nibble/kernels/gemm_float.inc"

}  // namespace

extern const Kernel gemm_f32_avx2, gemm_f16_avx2, gemm_bf16_avx2, gemm_w8_avx2, gemm_w4_avx2,
    gemm_narrow_f32_avx2;
constexpr KernelIsa kIsa = KernelIsa::avx2;
constinit const Kernel gemm_f32_avx2 =
    kernel(kIsa, "gemm_f32_avx2", is_f32, run_plain<F32>, plain_scratch);
constinit const Kernel gemm_f16_avx2 =
    kernel(kIsa, "gemm_f16_avx2", is_f16, run_plain<F16>, plain_scratch);
constinit const Kernel gemm_bf16_avx2 =
    kernel(kIsa, "gemm_bf16_avx2", is_bf16, run_plain<Bf16>, plain_scratch);
constinit const Kernel gemm_w8_avx2 =
    kernel(kIsa, "gemm_w8_avx2", is_w8, run_codes<8>, codes_scratch);
constinit const Kernel gemm_w4_avx2 =
    kernel(kIsa, "gemm_w4_avx2", is_w4, run_codes<4>, codes_scratch);
constinit const Kernel gemm_narrow_f32_avx2 =
    kernel(kIsa, "gemm_narrow_f32_avx2", is_narrow, run_narrow, codes_scratch);

}  // namespace nibble
