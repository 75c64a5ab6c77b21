// gemm_a8_tiles.inc on tile registers that are plain memory: what the AMX kernels compute, on any
// processor with AVX-512 VNNI.
#pragma once

#include "nibble/kernels/kernel.h"

namespace nibble {

#if defined(__x86_64__)
extern const Kernel gemm_i8_emulated_tiles, gemm_i4_emulated_tiles, gemm_narrow_emulated_tiles;
#endif

}  // namespace nibble
