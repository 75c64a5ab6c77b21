#include "nibble/kernels/slabs.h"

#include <algorithm>
#include <cstring>

#include "nibble/core/checked.h"

namespace nibble {
namespace {

// Bytes of one element, where elements are whole bytes.
bool is_float8(WeightType type) { return type == WeightType::e4m3 || type == WeightType::e5m2; }
bool is_codes(WeightType type) { return type == WeightType::codes || type == WeightType::table; }
bool has_scales(WeightType type) { return is_codes(type) || is_float8(type); }
int64_t element_bytes(WeightType type) {
  return is_float8(type) ? 1 : type == WeightType::f32 ? 4 : 2;
}
int64_t scale_size(ScaleType type) {
  const bool halves = type == ScaleType::f16 || type == ScaleType::bf16;
  return type == ScaleType::f32 ? 4 : halves ? 2 : 1;
}
int64_t rounded(int64_t bytes) { return ceil_div(bytes, 64) * 64; }

int64_t code_bytes(const GemmTraits& t) {
  if (!is_codes(t.weight)) return t.k * kSlab * element_bytes(t.weight);
  return ceil_div(t.k, kUnit) * kChunk * t.bits;
}

// One output of one unit: 32 codes to and from the planes. `out` is at the output's lane.
void put_unit(const uint8_t* codes, int bits, uint8_t* out) {
  int low = 0;  // the bit of the code a plane begins with
  for (int plane = 8; plane > 0; plane /= 2) {
    if ((bits & plane) == 0) continue;
    const int steps = 8 / plane;  // in a chunk
    for (int c = 0; c < plane; ++c, out += kChunk) {
      for (int i = 0; i < kStep; ++i) {
        int byte = 0;
        for (int t = 0; t < steps; ++t) {
          const int code = codes[(c * steps + t) * kStep + i] >> low;
          byte |= (code & ((1 << plane) - 1)) << (plane * t);
        }
        out[i] = static_cast<uint8_t>(byte);
      }
    }
    low += plane;
  }
}

void get_unit(const uint8_t* in, int bits, uint8_t* codes) {
  std::memset(codes, 0, kUnit);
  int low = 0;
  for (int plane = 8; plane > 0; plane /= 2) {
    if ((bits & plane) == 0) continue;
    const int steps = 8 / plane;
    for (int c = 0; c < plane; ++c, in += kChunk) {
      for (int i = 0; i < kStep; ++i) {
        for (int t = 0; t < steps; ++t) {
          const int part = in[i] >> (plane * t) & ((1 << plane) - 1);
          codes[(c * steps + t) * kStep + i] |= static_cast<uint8_t>(part << low);
        }
      }
    }
    low += plane;
  }
}

// 32 codes of a bit stream; 4 * bits bytes hold them. Codes beyond k are 0.
void read_codes(const uint8_t* row, int64_t unit, int bits, int64_t k, uint8_t* codes) {
  const int64_t count = std::min(kUnit, k - unit * kUnit);
  const uint8_t* from = row + unit * kUnit * bits / 8;
  uint64_t bit = 0;
  for (int64_t i = 0; i < kUnit; ++i, bit += static_cast<uint64_t>(bits)) {
    if (i >= count) {
      codes[i] = 0;
      continue;
    }
    const uint64_t at = bit / 8, shift = bit % 8;
    unsigned both = from[at];
    if (shift + static_cast<uint64_t>(bits) > 8) both |= static_cast<unsigned>(from[at + 1]) << 8;
    codes[i] = static_cast<uint8_t>(both >> shift & ((1u << bits) - 1));
  }
}

void write_codes(const uint8_t* codes, int64_t unit, int bits, int64_t k, uint8_t* row) {
  const int64_t count = std::min(kUnit, k - unit * kUnit);
  uint8_t* to = row + unit * kUnit * bits / 8;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t bit = i * bits;
    const unsigned both = static_cast<unsigned>(codes[i]) << (bit % 8);
    to[bit / 8] |= static_cast<uint8_t>(both);
    if (bit % 8 + bits > 8) to[bit / 8 + 1] |= static_cast<uint8_t>(both >> 8);
  }
}

// The eight 4-bit codes of a word, in order, as the bytes of a chunk have them: byte i holds code i
// below code i + 4.
uint32_t interleave(uint32_t word) {
  const auto spread = [](uint32_t x) {
    x = (x | x << 8) & 0x00FF00FFu;
    return (x | x << 4) & 0x0F0F0F0Fu;
  };
  return spread(word & 0xFFFFu) | spread(word >> 16) << 4;
}

// Whole words of rows of 4- or 8-bit codes: what is common, done fast.
void pack_words(const GemmWeight& w, int64_t n_begin, int64_t count, int64_t words, uint8_t* slab) {
  const auto* rows = static_cast<const uint8_t*>(w.data) + n_begin * w.row_bytes;
  const bool nibbles = w.traits.bits == 4;
  for (int64_t i = 0; i < words; ++i) {
    for (int64_t j = 0; j < count; ++j) {
      uint32_t word;
      std::memcpy(&word, rows + j * w.row_bytes + i * 4, 4);
      if (nibbles) word = interleave(word);
      std::memcpy(slab + i * kChunk + j * 4, &word, 4);
    }
  }
}

void pack_codes(const GemmWeight& w, int64_t n_begin, int64_t count, uint8_t* slab) {
  const GemmTraits& t = w.traits;
  int64_t unit = 0;
  if (t.bits == 4 || t.bits == 8) {
    unit = t.k / kUnit;
    pack_words(w, n_begin, count, unit * t.bits, slab);
  }
  uint8_t codes[kUnit];
  for (; unit < ceil_div(t.k, kUnit); ++unit) {
    for (int64_t j = 0; j < count; ++j) {
      const auto* row = static_cast<const uint8_t*>(w.data) + (n_begin + j) * w.row_bytes;
      read_codes(row, unit, t.bits, t.k, codes);
      put_unit(codes, t.bits, slab + unit * kChunk * t.bits + j * kStep);
    }
  }
}

template <class T>
void pack_elements(const GemmWeight& w, int64_t n_begin, int64_t count, uint8_t* slab) {
  constexpr int64_t kBlock = 16;  // inputs: a line of each row's
  for (int64_t i0 = 0; i0 < w.traits.k; i0 += kBlock) {
    const int64_t i1 = std::min(i0 + kBlock, w.traits.k);
    for (int64_t j = 0; j < count; ++j) {
      const auto* row = static_cast<const uint8_t*>(w.data) + (n_begin + j) * w.row_bytes;
      for (int64_t i = i0; i < i1; ++i)
        std::memcpy(slab + (i * kSlab + j) * int64_t{sizeof(T)}, row + i * int64_t{sizeof(T)},
                    sizeof(T));
    }
  }
}

// `count` elements of a row to the lane `to`, which is of a slab, and back.
void put_lane(const void* row, int64_t count, int64_t size, uint8_t* to) {
  const auto* from = static_cast<const uint8_t*>(row);
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(to + i * kSlab * size, from + i * size, static_cast<size_t>(size));
}
void get_lane(const uint8_t* from, int64_t count, int64_t size, void* row) {
  auto* to = static_cast<uint8_t*>(row);
  for (int64_t i = 0; i < count; ++i)
    std::memcpy(to + i * size, from + i * kSlab * size, static_cast<size_t>(size));
}

void pack_scales(const GemmWeight& w, const SlabLayout& l, int64_t n_begin, int64_t count,
                 uint8_t* slab) {
  const int64_t size = l.scale_bytes, supers = l.blocks;
  for (int64_t j = 0; j < count; ++j) {
    const int64_t from = (n_begin + j) * w.scale_stride, super = (n_begin + j) * w.super_stride;
    const auto of_row = [&](const void* p) { return static_cast<const uint8_t*>(p) + from * size; };
    put_lane(of_row(w.scales), l.groups, size, slab + l.scales + j * size);
    if (w.offsets != nullptr)
      put_lane(of_row(w.offsets), l.groups, size, slab + l.offsets + j * size);
    if (w.zeros != nullptr) put_lane(w.zeros + from, l.groups, 1, slab + l.zeros + j);
    if (supers == 0) continue;
    put_lane(w.block_scales + super, supers, 4, slab + l.super_scales + j * 4);
    if (w.offsets != nullptr)
      put_lane(w.block_offsets + super, supers, 4, slab + l.super_offsets + j * 4);
  }
}

void unpack_scales(const GemmWeight& w, const SlabLayout& l, const uint8_t* slab, int64_t lane,
                   int64_t row, const GemmRows& out) {
  const int64_t size = l.scale_bytes, to = row * out.scale_stride, super = row * out.super_stride;
  const auto of_row = [&](void* p) { return static_cast<uint8_t*>(p) + to * size; };
  if (out.scales != nullptr)
    get_lane(slab + l.scales + lane * size, l.groups, size, of_row(out.scales));
  if (out.offsets != nullptr && w.offsets != nullptr)
    get_lane(slab + l.offsets + lane * size, l.groups, size, of_row(out.offsets));
  if (out.zeros != nullptr && w.zeros != nullptr)
    get_lane(slab + l.zeros + lane, l.groups, 1, out.zeros + to);
  if (out.block_scales != nullptr)
    get_lane(slab + l.super_scales + lane * 4, l.blocks, 4, out.block_scales + super);
  if (out.block_offsets != nullptr && w.offsets != nullptr)
    get_lane(slab + l.super_offsets + lane * 4, l.blocks, 4, out.block_offsets + super);
}

void unpack_row(const GemmWeight& w, const SlabLayout& l, int64_t j, int64_t row,
                const GemmRows& out) {
  const GemmTraits& t = w.traits;
  const auto* slab = static_cast<const uint8_t*>(w.data) + j / kSlab * l.bytes;
  const int64_t lane = j % kSlab;
  auto* data = static_cast<uint8_t*>(out.data) + row * out.row_bytes;
  if (out.data != nullptr) std::memset(data, 0, static_cast<size_t>(out.row_bytes));
  if (out.data != nullptr && !is_codes(t.weight)) {
    const int64_t size = element_bytes(t.weight);
    for (int64_t i = 0; i < t.k; ++i)
      std::memcpy(data + i * size, slab + (i * kSlab + lane) * size, static_cast<size_t>(size));
  }
  uint8_t codes[kUnit];
  for (int64_t unit = 0; out.data != nullptr && is_codes(t.weight) && unit < ceil_div(t.k, kUnit);
       ++unit) {
    get_unit(slab + unit * kChunk * t.bits + lane * kStep, t.bits, codes);
    write_codes(codes, unit, t.bits, t.k, data);
  }
  unpack_scales(w, l, slab, lane, row, out);
}

}  // namespace

SlabLayout slab_layout(const GemmWeight& w) {
  SlabLayout l;
  l.scales = rounded(code_bytes(w.traits));
  l.bytes = l.scales;
  if (!has_scales(w.traits.weight)) return l;
  l.groups = ceil_div(w.traits.k, w.traits.group);
  l.scale_bytes = scale_size(w.scale_type);
  if (w.scale_type == ScaleType::blocks) l.blocks = ceil_div(w.traits.k, kSuperBlock);
  const int64_t scales = l.groups * kSlab * l.scale_bytes, supers = l.blocks * kSlab * 4;
  const bool offsets = w.offsets != nullptr;
  l.offsets = l.scales + scales;
  l.zeros = l.offsets + (offsets ? scales : 0);
  l.super_scales = l.zeros + (w.zeros != nullptr ? l.groups * kSlab : 0);
  l.super_offsets = l.super_scales + supers;
  l.bytes = l.super_offsets + (offsets ? supers : 0);
  return l;
}

int64_t slabs_bytes(const GemmWeight& w) {
  return ceil_div(w.traits.n, kSlab) * slab_layout(w).bytes;
}

void pack_slabs(const GemmWeight& w, void* packed, int64_t n_begin, int64_t n_end) {
  const SlabLayout l = slab_layout(w);
  for (int64_t n = n_begin; n < n_end; n += kSlab) {
    auto* slab = static_cast<uint8_t*>(packed) + n / kSlab * l.bytes;
    const int64_t count = std::min(kSlab, n_end - n);
    if (count < kSlab || w.traits.k % kUnit != 0)
      std::memset(slab, 0, static_cast<size_t>(l.bytes));
    switch (w.traits.weight) {
      case WeightType::f32:
        pack_elements<uint32_t>(w, n, count, slab);
        break;
      case WeightType::f16:
      case WeightType::bf16:
        pack_elements<uint16_t>(w, n, count, slab);
        break;
      case WeightType::e4m3:
      case WeightType::e5m2:
        pack_elements<uint8_t>(w, n, count, slab);
        break;
      case WeightType::codes:
      case WeightType::table:
        pack_codes(w, n, count, slab);
    }
    if (has_scales(w.traits.weight)) pack_scales(w, l, n, count, slab);
  }
}

void unpack_slabs(const GemmWeight& w, int64_t n_begin, int64_t n_end, const GemmRows& out) {
  const SlabLayout l = slab_layout(w);
  for (int64_t j = n_begin; j < n_end; ++j) unpack_row(w, l, j, j - n_begin, out);
}

}  // namespace nibble
