// The blocks of GGUF taken apart and put together again, a pair of functions for each type
// (GgufType::unpack and pack).
#pragma once

#include "nibble/format/gguf_type.h"

namespace nibble {

#define NIBBLE_BLOCKS(name)                              \
  void unpack_##name(const uint8_t* in, GgufBlock& out); \
  void pack_##name(const GgufBlock& in, uint8_t* out);
NIBBLE_BLOCKS(q4_0)
NIBBLE_BLOCKS(q4_1)
NIBBLE_BLOCKS(q5_0)
NIBBLE_BLOCKS(q5_1)
NIBBLE_BLOCKS(q8_0)
NIBBLE_BLOCKS(q2_k)
NIBBLE_BLOCKS(q3_k)
NIBBLE_BLOCKS(q4_k)
NIBBLE_BLOCKS(q5_k)
NIBBLE_BLOCKS(q6_k)
NIBBLE_BLOCKS(iq4_nl)
NIBBLE_BLOCKS(iq4_xs)
NIBBLE_BLOCKS(byte_scale)
NIBBLE_BLOCKS(byte_scales)
#undef NIBBLE_BLOCKS

}  // namespace nibble
