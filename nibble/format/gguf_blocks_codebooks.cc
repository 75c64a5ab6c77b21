// The IQ blocks of 256 elements that are made of codebooks: an index names the magnitudes of eight
// (or four) elements, bits beside it their signs. Groups of 16 or 32 have a scale of 2 s + 1 times
// an f16 of the block; what ggml multiplies that by (1/8, 1/4) is a power of two, which the super
// scale takes without loss. Codes number the values of a group in ascending order, as the tables of
// quant/number_blocks.cc have them.
#include <bit>
#include <cstring>

#include "nibble/format/gguf_blocks.h"

namespace nibble {
namespace {

#include "nibble/format/gguf_grids_iq1.inc"
#include "nibble/format/gguf_grids_iq2.inc"
#include "nibble/format/gguf_grids_iq3.inc"

constexpr int kEight = 8;  // elements that share a byte of signs

unsigned word16(const uint8_t* in, int i) {
  uint16_t out;
  std::memcpy(&out, in + 2 * i, sizeof out);
  return out;
}

unsigned word32(const uint8_t* in, int i) {
  uint32_t out;
  std::memcpy(&out, in + 4 * i, sizeof out);
  return out;
}

// Bits [at, at + count) of a word.
unsigned bits_at(unsigned word, int at, int count) { return word >> at & ((1u << count) - 1); }

uint8_t odd(unsigned s) { return static_cast<uint8_t>(2 * s + 1); }

// Eight signs of which seven are stored: their number is even.
unsigned even_signs(unsigned seven) {
  return seven | static_cast<unsigned>(std::popcount(seven) & 1) << 7;
}

// kCount elements by a row of a codebook of kMagnitudes; a bit of `signs` that is set: below 0.
// Without branches, of which random signs would have half foreseen wrongly: ~m is -1 - m.
template <int kMagnitudes, int kCount>
void put_row(unsigned row, unsigned signs, uint8_t* codes) {
  constexpr int kBits = kMagnitudes > 4 ? 3 : 2;
  for (int j = 0; j < kCount; ++j) {
    const int magnitude = static_cast<int>(bits_at(row, kBits * j, kBits));
    const int flip = -static_cast<int>(bits_at(signs, j, 1));
    codes[j] = static_cast<uint8_t>(kMagnitudes + (magnitude ^ flip));
  }
}
constexpr auto put_iq2 = put_row<3, kEight>;

// Eight elements by two rows.
void put_iq3(unsigned first, unsigned second, unsigned signs, uint8_t* codes) {
  put_row<8, kEight / 2>(first, signs, codes);
  put_row<8, kEight / 2>(second, signs >> 4, codes + kEight / 2);
}

// Scales of four bits, the even ones in the lower halves of bytes.
void unpack_halves(const uint8_t* in, int count, uint8_t* scales) {
  for (int g = 0; g < count; ++g) scales[g] = odd(bits_at(in[g / 2], g % 2 * 4, 4));
}

// Eight elements of IQ1: -1, 0 or 1, all of them 1/8 more, or less. Times 8 these are -9, -7, -1,
// 1, 7 and 9.
void put_iq1(unsigned index, bool less, uint8_t* codes) {
  for (int j = 0; j < kEight; ++j)
    codes[j] = static_cast<uint8_t>(2 * bits_at(kIq1SGrid[index], 2 * j, 2) + (less ? 0 : 1));
}

}  // namespace

// Of 32 elements: four indices, four times seven signs and the scale.
void unpack_iq2_xxs(const uint8_t* in, GgufBlock& out) {
  out.super_scale = half_at(in) / 8;
  for (int g = 0; g < 8; ++g) {
    const uint8_t* group = in + 2 + 8 * g;
    const unsigned signs = word32(group, 1);
    out.scales[g] = odd(signs >> 28);
    for (int l = 0; l < 4; ++l)
      put_iq2(kIq2XxsGrid[group[l]], even_signs(bits_at(signs, 7 * l, 7)),
              out.codes + 32 * g + kEight * l);
  }
}

// Of eight elements: an index of nine bits and seven signs.
void unpack_iq2_xs(const uint8_t* in, GgufBlock& out) {
  out.super_scale = half_at(in) / 8;
  unpack_halves(in + 66, 16, out.scales);
  for (int i = 0; i < 32; ++i) {
    const unsigned both = word16(in + 2, i);
    put_iq2(kIq2XsGrid[bits_at(both, 0, 9)], even_signs(both >> 9), out.codes + kEight * i);
  }
}

// Of eight elements: an index, whose upper two bits are apart, and eight signs.
void unpack_iq2_s(const uint8_t* in, GgufBlock& out) {
  const uint8_t *low = in + 2, *signs = in + 34, *high = in + 66;
  out.super_scale = half_at(in) / 8;
  unpack_halves(in + 74, 16, out.scales);
  for (int i = 0; i < 32; ++i) {
    const unsigned index = low[i] | bits_at(high[i / 4], i % 4 * 2, 2) << 8;
    put_iq2(kIq2SGrid[index], signs[i], out.codes + kEight * i);
  }
}

// Indices of four elements; then, of 32, four times seven signs and the scale.
void unpack_iq3_xxs(const uint8_t* in, GgufBlock& out) {
  const uint8_t* indices = in + 2;
  out.super_scale = half_at(in) / 4;
  for (int g = 0; g < 8; ++g) {
    const unsigned signs = word32(in + 66, g);
    out.scales[g] = odd(signs >> 28);
    for (int l = 0; l < 4; ++l, indices += 2)
      put_iq3(kIq3XxsGrid[indices[0]], kIq3XxsGrid[indices[1]],
              even_signs(bits_at(signs, 7 * l, 7)), out.codes + 32 * g + kEight * l);
  }
}

// Indices of four elements, whose ninth bits are apart, and eight signs of eight.
void unpack_iq3_s(const uint8_t* in, GgufBlock& out) {
  const uint8_t *low = in + 2, *high = in + 66, *signs = in + 74;
  out.super_scale = half_at(in);
  unpack_halves(in + 106, 8, out.scales);
  const auto row = [&](int i) { return kIq3SGrid[low[i] | bits_at(high[i / 8], i % 8, 1) << 8]; };
  for (int i = 0; i < 32; ++i)
    put_iq3(row(2 * i), row(2 * i + 1), signs[i], out.codes + kEight * i);
}

// Of 32 elements a word: the upper three bits of four indices, the scale and which way 1/8 goes.
void unpack_iq1_s(const uint8_t* in, GgufBlock& out) {
  const uint8_t* low = in + 2;
  out.super_scale = half_at(in) / 8;
  for (int g = 0; g < 8; ++g) {
    const unsigned word = word16(in + 34, g);
    out.scales[g] = odd(bits_at(word, 12, 3));
    for (int l = 0; l < 4; ++l)
      put_iq1(low[4 * g + l] | bits_at(word, 3 * l, 3) << 8, word >> 15 != 0,
              out.codes + 32 * g + kEight * l);
  }
}

// Of eight elements four bits: the upper three of the index and which way 1/8 goes. Four words have
// four scales of 16 elements each, and in their upper bits a quarter of the f16.
void unpack_iq1_m(const uint8_t* in, GgufBlock& out) {
  const uint8_t *high = in + 32, *scales = in + 48;
  unsigned half = 0;
  for (int i = 0; i < 4; ++i) half |= (word16(scales, i) >> 12) << (4 * i);
  out.super_scale = f16_to_f32(static_cast<uint16_t>(half)) / 8;
  for (int g = 0; g < 16; ++g) out.scales[g] = odd(bits_at(word16(scales, g / 4), g % 4 * 3, 3));
  for (int i = 0; i < 32; ++i) {
    const unsigned bits = bits_at(high[i / 2], i % 2 * 4, 4);
    put_iq1(in[i] | bits_at(bits, 0, 3) << 8, bits >> 3 != 0, out.codes + kEight * i);
  }
}

}  // namespace nibble
