// Codes times int8 rows by vpdpbusd. The zero point is taken off by the sum of the row's codes.
#include "nibble/kernels/avx512vnni/dot.h"

namespace nibble {
namespace {

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
