// Blocks of two to four levels under one f16. Where a level is (q - 1) d, a QuantizedTensor has
// (2 - q) (-d): its codes, which begin at -2, then need no zero point.
#include <cstring>

#include "nibble/format/gguf_blocks.h"

namespace nibble {
namespace {

// ternary has -1, 0 and 1 as 1, 2 and 3.
constexpr uint8_t kMinusOne = 1, kOne = 3;

void put_negated(const uint8_t* half, GgufBlock& out) {
  out.scales[0] = half[0];
  out.scales[1] = half[1] ^ 0x80;
}

// `digits` of base 3 of each byte, `bytes` elements apart: a byte is a fraction of 256, whose next
// digit stands above 1 when it is multiplied by 3.
void unpack_digits(const uint8_t* in, int bytes, int digits, uint8_t* codes) {
  for (int m = 0; m < bytes; ++m) {
    unsigned fraction = in[m];
    for (int n = 0; n < digits; ++n) {
      fraction *= 3;
      codes[n * bytes + m] = static_cast<uint8_t>(kMinusOne + (fraction >> 8));
      fraction &= 0xFF;
    }
  }
}

}  // namespace

// 32 bytes of five digits, 16 of five, 4 of four.
void unpack_tq1_0(const uint8_t* in, GgufBlock& out) {
  unpack_digits(in, 32, 5, out.codes);
  unpack_digits(in + 32, 16, 5, out.codes + 160);
  unpack_digits(in + 48, 4, 4, out.codes + 240);
  std::memcpy(out.scales, in + 52, 2);
}

// Each half in 32 bytes, its four runs of 32 elements one above the other.
void unpack_tq2_0(const uint8_t* in, GgufBlock& out) {
  for (int i = 0; i < 256; ++i) {
    const int q = in[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3;
    out.codes[i] = static_cast<uint8_t>(3 - q);
  }
  put_negated(in + 64, out);
}

// A bit that is set is d, one that is not -d.
void unpack_q1_0(const uint8_t* in, GgufBlock& out) {
  std::memcpy(out.scales, in, 2);
  for (int i = 0; i < 128; ++i)
    out.codes[i] = (in[2 + i / 8] >> (i % 8) & 1) != 0 ? kOne : kMinusOne;
}

void unpack_q2_0(const uint8_t* in, GgufBlock& out) {
  put_negated(in, out);
  for (int i = 0; i < 64; ++i)
    out.codes[i] = static_cast<uint8_t>(3 - (in[2 + i / 4] >> (i % 4 * 2) & 3));
}

}  // namespace nibble
