// Codes times int8 rows by tdpbsud on AMX tiles; fewer than 16 rows by vpdpbusd, from the same
// packed weight.
#include "nibble/kernels/amx/tiles.h"
#include "nibble/kernels/avx512vnni/dot.h"

namespace nibble {
namespace {

#include "nibble/kernels/gemm_a8.inc"
#include "nibble/kernels/gemm_a8_tiles.inc"

}  // namespace

extern const Kernel gemm_i8_amx, gemm_i4_amx, gemm_narrow_a8_amx;
constinit const Kernel gemm_i8_amx =
    tiled_kernel(KernelIsa::amx, "gemm_i8_amx", is_i8, run_tiled<run_codes<8>>);
constinit const Kernel gemm_i4_amx =
    tiled_kernel(KernelIsa::amx, "gemm_i4_amx", is_i4, run_tiled<run_codes<4>>);
constinit const Kernel gemm_narrow_a8_amx =
    tiled_kernel(KernelIsa::amx, "gemm_narrow_a8_amx", is_narrow, run_tiled<run_narrow>);

}  // namespace nibble
