// Blocks of 32 elements (NVFP4: four times 16) with a scale each. A byte holds element j in its low
// half and j + 16 in its high half; a fifth bit stands in a word beside them.
#include <cstring>

#include "nibble/format/gguf_blocks.h"

namespace nibble {
namespace {

constexpr int kHalf = 16;  // elements

// `half` low halves, then as many high ones.
void unpack_nibbles(const uint8_t* in, uint8_t* codes, int half) {
  for (int j = 0; j < half; ++j) {
    codes[j] = in[j] & 15;
    codes[j + half] = in[j] >> 4;
  }
}

void pack_nibbles(const uint8_t* codes, uint8_t* out, int half) {
  for (int j = 0; j < half; ++j)
    out[j] = static_cast<uint8_t>((codes[j] & 15) | codes[j + half] << 4);
}

void unpack_fifth_bits(const uint8_t* in, uint8_t* codes) {
  uint32_t bits;
  std::memcpy(&bits, in, sizeof bits);
  for (int j = 0; j < 2 * kHalf; ++j) codes[j] |= static_cast<uint8_t>((bits >> j & 1) << 4);
}

void pack_fifth_bits(const uint8_t* codes, uint8_t* out) {
  uint32_t bits = 0;
  for (int j = 0; j < 2 * kHalf; ++j) bits |= static_cast<uint32_t>(codes[j] >> 4 & 1) << j;
  std::memcpy(out, &bits, sizeof bits);
}

}  // namespace

void unpack_q4_0(const uint8_t* in, GgufBlock& out) {
  std::memcpy(out.scales, in, 2);
  unpack_nibbles(in + 2, out.codes, kHalf);
}
void pack_q4_0(const GgufBlock& in, uint8_t* out) {
  std::memcpy(out, in.scales, 2);
  pack_nibbles(in.codes, out + 2, kHalf);
}

void unpack_q4_1(const uint8_t* in, GgufBlock& out) {
  std::memcpy(out.scales, in, 2);
  std::memcpy(out.offsets, in + 2, 2);
  unpack_nibbles(in + 4, out.codes, kHalf);
}
void pack_q4_1(const GgufBlock& in, uint8_t* out) {
  std::memcpy(out, in.scales, 2);
  std::memcpy(out + 2, in.offsets, 2);
  pack_nibbles(in.codes, out + 4, kHalf);
}

void unpack_q5_0(const uint8_t* in, GgufBlock& out) {
  std::memcpy(out.scales, in, 2);
  unpack_nibbles(in + 6, out.codes, kHalf);
  unpack_fifth_bits(in + 2, out.codes);
}
void pack_q5_0(const GgufBlock& in, uint8_t* out) {
  std::memcpy(out, in.scales, 2);
  pack_fifth_bits(in.codes, out + 2);
  pack_nibbles(in.codes, out + 6, kHalf);
}

void unpack_q5_1(const uint8_t* in, GgufBlock& out) {
  std::memcpy(out.scales, in, 2);
  std::memcpy(out.offsets, in + 2, 2);
  unpack_nibbles(in + 8, out.codes, kHalf);
  unpack_fifth_bits(in + 4, out.codes);
}
void pack_q5_1(const GgufBlock& in, uint8_t* out) {
  std::memcpy(out, in.scales, 2);
  std::memcpy(out + 2, in.offsets, 2);
  pack_fifth_bits(in.codes, out + 4);
  pack_nibbles(in.codes, out + 8, kHalf);
}

// Signed bytes; a QuantizedTensor's codes are unsigned.
void unpack_q8_0(const uint8_t* in, GgufBlock& out) {
  std::memcpy(out.scales, in, 2);
  for (int j = 0; j < 32; ++j) out.codes[j] = in[2 + j] ^ 0x80;
}
void pack_q8_0(const GgufBlock& in, uint8_t* out) {
  std::memcpy(out, in.scales, 2);
  for (int j = 0; j < 32; ++j) out[2 + j] = in.codes[j] ^ 0x80;
}

void unpack_iq4_nl(const uint8_t* in, GgufBlock& out) { unpack_q4_0(in, out); }
void pack_iq4_nl(const GgufBlock& in, uint8_t* out) { pack_q4_0(in, out); }

void unpack_byte_scale(const uint8_t* in, GgufBlock& out) {
  out.scales[0] = in[0];
  unpack_nibbles(in + 1, out.codes, kHalf);
}
void pack_byte_scale(const GgufBlock& in, uint8_t* out) {
  out[0] = in.scales[0];
  pack_nibbles(in.codes, out + 1, kHalf);
}

// Four groups of 16: their scales, then the nibbles of each. ggml reads the scale that is no number
// as 0.
void unpack_byte_scales(const uint8_t* in, GgufBlock& out) {
  for (int g = 0; g < 4; ++g) {
    out.scales[g] = (in[g] & 0x7F) == 0x7F ? 0 : in[g] & 0x7F;
    unpack_nibbles(in + 4 + 8 * g, out.codes + 16 * g, kHalf / 2);
  }
}
void pack_byte_scales(const GgufBlock& in, uint8_t* out) {
  for (int g = 0; g < 4; ++g) {
    out[g] = in.scales[g];
    pack_nibbles(in.codes + 16 * g, out + 4 + 8 * g, kHalf / 2);
  }
}

}  // namespace nibble
