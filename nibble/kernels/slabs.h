// Slabs: the packed form of a weight. A slab holds 64 outputs side by side, so that vectors of any
// width hold the same inputs of neighbouring outputs, and one slab is read from end to end.
//
//   f32, f16, bf16:  [k][64] elements
//   8-bit codes:     [k/4][64][4] bytes: four inputs of an output are one 32-bit lane
//   fewer bits:      a code is cut into planes of 4, 2 and 1 bits, lowest bits first (7 = 4 + 2 +
//                    1). A unit of 32 inputs has eight steps of four; a plane of p bits is p chunks
//                    [64][4] bytes, chunk c holding the steps 8/p * c + t in bits p * t of each
//                    byte. Codes of a table lie like those of integers.
//   8-bit floats:    [k][64] bytes
//
// Behind the codes of a slab come its scales [groups][64], offsets [groups][64] in the same type
// and zero points [groups][64], where there are any; then, of ScaleType::blocks, the super scales
// of its scales and of its offsets as f32, each [blocks of kSuperBlock inputs][64]. k is filled up
// to units with codes 0, n to 64 with zeros. These functions are plain C++, for any processor.
#pragma once

#include "nibble/kernels/kernel.h"

namespace nibble {

constexpr int64_t kSlab = kOutputSlice;
constexpr int64_t kUnit = 32;  // inputs
constexpr int64_t kStep = 4;   // inputs
/// Bytes of one step, or one chunk, of a slab.
constexpr int64_t kChunk = kSlab * kStep;

/// Where the parts of a slab lie, in bytes from its beginning.
struct SlabLayout {
  int64_t groups = 0;
  int64_t blocks = 0;       ///< 0: scales have no super scales
  int64_t scale_bytes = 0;  ///< of one scale, or offset
  int64_t scales = 0, offsets = 0, zeros = 0;
  int64_t super_scales = 0, super_offsets = 0;
  int64_t bytes = 0;  ///< of the whole slab
};
SlabLayout slab_layout(const GemmWeight& w);

int64_t slabs_bytes(const GemmWeight& stored);
void pack_slabs(const GemmWeight& stored, void* packed, int64_t n_begin, int64_t n_end);
void unpack_slabs(const GemmWeight& packed, int64_t n_begin, int64_t n_end, const GemmRows& out);

}  // namespace nibble
