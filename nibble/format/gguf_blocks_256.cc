// Blocks of 256 elements: groups of 16 or 32 whose scales (and offsets) are small integers times an
// f16 of the block. Offsets are subtracted in the files and added in a QuantizedTensor.
#include <cstring>

#include "nibble/format/gguf_blocks.h"

namespace nibble {
namespace {

// The value came from a half, or was rounded to one.
void put_half(float value, uint8_t* out) {
  const uint16_t bits = f32_to_f16(value);
  std::memcpy(out, &bits, sizeof bits);
}

void put_bits(uint8_t& byte, unsigned value, int at, unsigned mask) {
  byte = static_cast<uint8_t>(byte | (value & mask) << at);
}

// Two bits a code: half h of the block lies in 32 bytes, its four runs of 32 elements one above the
// other. f(byte, shift, element)
template <class F>
void for_each_pair_of_bits(F f) {
  for (int h = 0; h < 2; ++h) {
    for (int run = 0; run < 4; ++run) {
      for (int l = 0; l < 32; ++l) f(32 * h + l, 2 * run, 128 * h + 32 * run + l);
    }
  }
}

// Nibbles: 64 elements in 32 bytes, the first 32 low. f(byte, shift, element)
template <class F>
void for_each_nibble(F f) {
  for (int chunk = 0; chunk < 4; ++chunk) {
    for (int half = 0; half < 2; ++half) {
      for (int l = 0; l < 32; ++l) f(32 * chunk + l, 4 * half, 64 * chunk + 32 * half + l);
    }
  }
}

// Eight scales and eight offsets of 6 bits in 12 bytes: the first four of each whole, with the
// upper bits of the other four above them; of those the lower halves behind.
void unpack_sixes(const uint8_t* in, uint8_t* scales, uint8_t* offsets) {
  for (int i = 0; i < 4; ++i) {
    scales[i] = in[i] & 63;
    offsets[i] = in[i + 4] & 63;
    scales[i + 4] = static_cast<uint8_t>((in[i + 8] & 15) | in[i] >> 6 << 4);
    offsets[i + 4] = static_cast<uint8_t>(in[i + 8] >> 4 | in[i + 4] >> 6 << 4);
  }
}

void pack_sixes(const uint8_t* scales, const uint8_t* offsets, uint8_t* out) {
  for (int i = 0; i < 4; ++i) {
    out[i] = static_cast<uint8_t>((scales[i] & 63) | scales[i + 4] >> 4 << 6);
    out[i + 4] = static_cast<uint8_t>((offsets[i] & 63) | offsets[i + 4] >> 4 << 6);
    out[i + 8] = static_cast<uint8_t>((scales[i + 4] & 15) | (offsets[i + 4] & 15) << 4);
  }
}

void unpack_supers(const uint8_t* in, GgufBlock& out) {
  out.super_scale = half_at(in);
  out.super_offset = -half_at(in + 2);
}

void pack_supers(const GgufBlock& in, uint8_t* out) {
  put_half(in.super_scale, out);
  put_half(-in.super_offset, out + 2);
}

}  // namespace

void unpack_q2_k(const uint8_t* in, GgufBlock& out) {
  for (int i = 0; i < 16; ++i) {
    out.scales[i] = in[i] & 15;
    out.offsets[i] = in[i] >> 4;
  }
  for_each_pair_of_bits([&](int at, int shift, int i) { out.codes[i] = in[16 + at] >> shift & 3; });
  unpack_supers(in + 80, out);
}
void pack_q2_k(const GgufBlock& in, uint8_t* out) {
  std::memset(out, 0, 84);
  for (int i = 0; i < 16; ++i)
    out[i] = static_cast<uint8_t>((in.scales[i] & 15) | in.offsets[i] << 4);
  for_each_pair_of_bits(
      [&](int at, int shift, int i) { put_bits(out[16 + at], in.codes[i], shift, 3); });
  pack_supers(in, out + 80);
}

// The third bits stand in 32 bytes before, one for each run of 32 elements. Scales of 6 bits, less
// 32: lower halves in 8 bytes, the upper two bits of four each in 4 bytes behind.
void unpack_q3_k(const uint8_t* in, GgufBlock& out) {
  const uint8_t *third = in, *two = in + 32, *scales = in + 96;
  for_each_pair_of_bits([&](int at, int shift, int i) {
    out.codes[i] =
        static_cast<uint8_t>((two[at] >> shift & 3) | (third[i % 32] >> (i / 32) & 1) << 2);
  });
  for (int i = 0; i < 16; ++i) {
    const int low = scales[i % 8] >> (i / 8 * 4) & 15, high = scales[8 + i % 4] >> (i / 4 * 2) & 3;
    out.scales[i] = static_cast<uint8_t>((low | high << 4) - 32);
  }
  out.super_scale = half_at(in + 108);
}
void pack_q3_k(const GgufBlock& in, uint8_t* out) {
  std::memset(out, 0, 110);
  uint8_t *third = out, *two = out + 32, *scales = out + 96;
  for_each_pair_of_bits([&](int at, int shift, int i) {
    put_bits(two[at], in.codes[i], shift, 3);
    put_bits(third[i % 32], in.codes[i] >> 2, i / 32, 1);
  });
  for (int i = 0; i < 16; ++i) {
    const auto scale = static_cast<unsigned>(static_cast<int8_t>(in.scales[i]) + 32);
    put_bits(scales[i % 8], scale, i / 8 * 4, 15);
    put_bits(scales[8 + i % 4], scale >> 4, i / 4 * 2, 3);
  }
  put_half(in.super_scale, out + 108);
}

void unpack_q4_k(const uint8_t* in, GgufBlock& out) {
  unpack_supers(in, out);
  unpack_sixes(in + 4, out.scales, out.offsets);
  for_each_nibble([&](int at, int shift, int i) { out.codes[i] = in[16 + at] >> shift & 15; });
}
void pack_q4_k(const GgufBlock& in, uint8_t* out) {
  std::memset(out, 0, 144);
  pack_supers(in, out);
  pack_sixes(in.scales, in.offsets, out + 4);
  for_each_nibble(
      [&](int at, int shift, int i) { put_bits(out[16 + at], in.codes[i], shift, 15); });
}

// Fifth bits in 32 bytes before the nibbles, one for each run of 32 elements.
void unpack_q5_k(const uint8_t* in, GgufBlock& out) {
  unpack_supers(in, out);
  unpack_sixes(in + 4, out.scales, out.offsets);
  for_each_nibble([&](int at, int shift, int i) {
    out.codes[i] =
        static_cast<uint8_t>((in[48 + at] >> shift & 15) | (in[16 + i % 32] >> (i / 32) & 1) << 4);
  });
}
void pack_q5_k(const GgufBlock& in, uint8_t* out) {
  std::memset(out, 0, 176);
  pack_supers(in, out);
  pack_sixes(in.scales, in.offsets, out + 4);
  for_each_nibble([&](int at, int shift, int i) {
    put_bits(out[48 + at], in.codes[i], shift, 15);
    put_bits(out[16 + i % 32], in.codes[i] >> 4, i / 32, 1);
  });
}

namespace {

// Of half a block, 64 bytes of nibbles and 32 of pairs of bits: runs 0 and 1 of 32 elements are the
// low nibbles, 2 and 3 the high ones. f(nibble byte, its shift, pair byte, its shift, element)
template <class F>
void for_each_six(F f) {
  for (int h = 0; h < 2; ++h) {
    for (int run = 0; run < 4; ++run) {
      for (int l = 0; l < 32; ++l)
        f(64 * h + run % 2 * 32 + l, run / 2 * 4, 32 * h + l, 2 * run, 128 * h + 32 * run + l);
    }
  }
}

}  // namespace

void unpack_q6_k(const uint8_t* in, GgufBlock& out) {
  for_each_six([&](int low, int shift, int high, int up, int i) {
    out.codes[i] = static_cast<uint8_t>((in[low] >> shift & 15) | (in[128 + high] >> up & 3) << 4);
  });
  std::memcpy(out.scales, in + 192, 16);
  out.super_scale = half_at(in + 208);
}
void pack_q6_k(const GgufBlock& in, uint8_t* out) {
  std::memset(out, 0, 192);
  for_each_six([&](int low, int shift, int high, int up, int i) {
    put_bits(out[low], in.codes[i], shift, 15);
    put_bits(out[128 + high], in.codes[i] >> 4, up, 3);
  });
  std::memcpy(out + 192, in.scales, 16);
  put_half(in.super_scale, out + 208);
}

// Eight groups of 32: their scales less 32, lower halves in 4 bytes, upper bits in the word before.
void unpack_iq4_xs(const uint8_t* in, GgufBlock& out) {
  out.super_scale = half_at(in);
  uint16_t upper;
  std::memcpy(&upper, in + 2, sizeof upper);
  for (int g = 0; g < 8; ++g) {
    const int low = in[4 + g / 2] >> (g % 2 * 4) & 15, high = upper >> (2 * g) & 3;
    out.scales[g] = static_cast<uint8_t>((low | high << 4) - 32);
    for (int j = 0; j < 16; ++j) {
      out.codes[32 * g + j] = in[8 + 16 * g + j] & 15;
      out.codes[32 * g + j + 16] = in[8 + 16 * g + j] >> 4;
    }
  }
}
void pack_iq4_xs(const GgufBlock& in, uint8_t* out) {
  std::memset(out, 0, 136);
  put_half(in.super_scale, out);
  unsigned upper = 0;
  for (int g = 0; g < 8; ++g) {
    const auto scale = static_cast<unsigned>(static_cast<int8_t>(in.scales[g]) + 32);
    put_bits(out[4 + g / 2], scale, g % 2 * 4, 15);
    upper |= (scale >> 4 & 3) << (2 * g);
    for (int j = 0; j < 16; ++j)
      out[8 + 16 * g + j] =
          static_cast<uint8_t>((in.codes[32 * g + j] & 15) | in.codes[32 * g + j + 16] << 4);
  }
  const auto bits = static_cast<uint16_t>(upper);
  std::memcpy(out + 2, &bits, sizeof bits);
}

}  // namespace nibble
