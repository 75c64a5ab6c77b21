// The blocks of GGUF taken apart and put together again, a pair of functions for each type
// (GgufType::unpack and pack); of blocks that are only read, the first.
#pragma once

#include <cstring>

#include "nibble/core/float_formats.h"
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

#define NIBBLE_READ_BLOCKS(name) void unpack_##name(const uint8_t* in, GgufBlock& out);
NIBBLE_READ_BLOCKS(iq2_xxs)
NIBBLE_READ_BLOCKS(iq2_xs)
NIBBLE_READ_BLOCKS(iq2_s)
NIBBLE_READ_BLOCKS(iq3_xxs)
NIBBLE_READ_BLOCKS(iq3_s)
NIBBLE_READ_BLOCKS(iq1_s)
NIBBLE_READ_BLOCKS(iq1_m)
NIBBLE_READ_BLOCKS(tq1_0)
NIBBLE_READ_BLOCKS(tq2_0)
NIBBLE_READ_BLOCKS(q1_0)
NIBBLE_READ_BLOCKS(q2_0)
#undef NIBBLE_READ_BLOCKS

/// The f16 that a block has at `in`.
inline float half_at(const uint8_t* in) {
  uint16_t bits;
  std::memcpy(&bits, in, sizeof bits);
  return f16_to_f32(bits);
}

}  // namespace nibble
