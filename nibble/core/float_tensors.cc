#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "nibble/core/float_formats.h"

// float_formats.h for whole tensors.
namespace nibble {
namespace {

constexpr size_t kBlock = 4096;

template <class T>
T loaded(const std::byte* from, size_t i) {
  T value;
  std::memcpy(&value, from + i * sizeof(T), sizeof(T));
  return value;
}

template <class Code, class Convert>
void widen(const std::byte* from, std::span<float> out, Convert&& to_float) {
  // Between arrays of their own and of a fixed size, which becomes vector code.
  constexpr size_t kChunk = 16;
  std::array<Code, kChunk> codes;
  std::array<float, kChunk> floats;
  size_t i = 0;
  for (; i + kChunk <= out.size(); i += kChunk) {
    std::memcpy(codes.data(), from + i * sizeof(Code), sizeof(codes));
#pragma omp simd
    for (size_t j = 0; j < kChunk; ++j) floats[j] = to_float(codes[j]);
    std::memcpy(out.data() + i, floats.data(), sizeof(floats));
  }
  for (; i < out.size(); ++i) out[i] = to_float(loaded<Code>(from, i));
}

template <class Code, class Convert>
void narrow(std::span<const float> x, std::byte* to, Convert&& to_code) {
  for (size_t i = 0; i < x.size(); ++i) {
    const Code code = to_code(x[i]);
    std::memcpy(to + i * sizeof(Code), &code, sizeof(Code));
  }
}

bool is_float(DType dtype) {
  switch (dtype) {
    case DType::f64:
    case DType::f32:
    case DType::f16:
    case DType::bf16:
    case DType::f8_e4m3:
    case DType::f8_e5m2:
      return true;
    default:
      return false;
  }
}

void require_float(DType dtype) {
  if (is_float(dtype)) return;
  throw unsupported(fmt::format("elements are {}, expected a float type", to_string(dtype)));
}

// An f64 as an f32 that any narrower format rounds as it would have rounded the f64: toward zero,
// with the last bit set where anything was lost (Boldo and Melquiond, "When double rounding is
// odd", 2005).
float round_to_odd(double x) {
  const auto nearest = static_cast<float>(x);
  if (static_cast<double>(nearest) == x || std::isnan(x)) return nearest;
  auto bits = std::bit_cast<uint32_t>(nearest);
  if (std::abs(static_cast<double>(nearest)) > std::abs(x)) --bits;
  return std::bit_cast<float>(bits | 1);
}

void decode_block(DType from, const std::byte* bytes, std::span<float> out) {
  switch (from) {
    case DType::f64:
      return widen<double>(bytes, out, [](double v) { return static_cast<float>(v); });
    case DType::f32:
      return widen<float>(bytes, out, [](float v) { return v; });
    case DType::f16:
      return widen<uint16_t>(bytes, out, [](uint16_t v) { return f16_to_f32(v); });
    case DType::bf16:
      return widen<uint16_t>(bytes, out, [](uint16_t v) { return bf16_to_f32(v); });
    case DType::f8_e4m3:
      return widen<uint8_t>(bytes, out, e4m3_to_f32);
    case DType::f8_e5m2:
      return widen<uint8_t>(bytes, out, e5m2_to_f32);
    default:
      return require_float(from);
  }
}

void encode_block(DType to, std::span<const float> x, std::byte* bytes) {
  switch (to) {
    case DType::f64:
      return narrow<double>(x, bytes, [](float v) { return static_cast<double>(v); });
    case DType::f32:
      return narrow<float>(x, bytes, [](float v) { return v; });
    case DType::f16:
      return narrow<uint16_t>(x, bytes, f32_to_f16);
    case DType::bf16:
      return narrow<uint16_t>(x, bytes, f32_to_bf16);
    case DType::f8_e4m3:
      return narrow<uint8_t>(x, bytes, f32_to_e4m3);
    case DType::f8_e5m2:
      return narrow<uint8_t>(x, bytes, f32_to_e5m2);
    default:
      return require_float(to);
  }
}

std::string place_of(const Shape& shape, int64_t index) {
  if (shape.rank() < 2) return fmt::format("element {}", index);
  const int64_t columns = shape[shape.rank() - 1];
  return fmt::format("row {} col {}", index / columns, index % columns);
}

}  // namespace

Tensor convert(const Tensor& x, DType to) {
  require_float(x.dtype());
  require_float(to);
  if (x.dtype() == to) return x.clone();
  const auto from_size = static_cast<size_t>(size_of(x.dtype()));
  const auto to_size = static_cast<size_t>(size_of(to));
  const auto n = static_cast<size_t>(x.elements());
  const bool twice = x.dtype() == DType::f64 && to != DType::f32;  // f64 to f32 to something small
  Tensor out(to, x.shape());
  std::array<float, kBlock> buffer;
  for (size_t i = 0; i < n; i += kBlock) {
    const std::span<float> block(buffer.data(), std::min(kBlock, n - i));
    const std::byte* from = x.raw() + i * from_size;
    if (twice) {
      widen<double>(from, block, round_to_odd);
    } else {
      decode_block(x.dtype(), from, block);
    }
    encode_block(to, block, out.mutable_raw() + i * to_size);
  }
  return out;
}

void to_f32(const Tensor& x, std::span<float> out) {
  require_float(x.dtype());
  NIBBLE_CHECK(out.size() == static_cast<size_t>(x.elements()));
  decode_block(x.dtype(), x.raw(), out);
}

namespace {

// True where no element has the exponent of NaN and infinity. Whole pages of them at a time: the
// loop becomes vector code.
template <class Bits>
bool all_below(const Tensor& x, Bits exponent) {
  const auto* bits = reinterpret_cast<const Bits*>(x.raw());
  const auto n = static_cast<size_t>(x.elements());
  for (size_t i = 0; i < n; i += kBlock) {
    Bits strange = 0;
    for (size_t j = i; j < std::min(i + kBlock, n); ++j)
      strange |= static_cast<Bits>((bits[j] & exponent) == exponent);
    if (strange != 0) return false;
  }
  return true;
}

}  // namespace

bool plainly_finite(const Tensor& x) {
  switch (x.dtype()) {
    case DType::f16:
      return all_below<uint16_t>(x, 0x7C00);
    case DType::bf16:
      return all_below<uint16_t>(x, 0x7F80);
    case DType::f32:
      return all_below<uint32_t>(x, 0x7F800000);
    default:
      return false;
  }
}

void refuse_nonfinite(const Tensor& x, std::string_view name) {
  if (!is_float(x.dtype()) || plainly_finite(x)) return;
  const auto n = static_cast<size_t>(x.elements());
  const auto size = static_cast<size_t>(size_of(x.dtype()));
  std::array<float, kBlock> buffer;
  int64_t count = 0, first = 0;
  bool nan = false;
  for (size_t i = 0; i < n; i += kBlock) {
    const std::span<float> block(buffer.data(), std::min(kBlock, n - i));
    decode_block(x.dtype(), x.raw() + i * size, block);
    for (size_t j = 0; j < block.size(); ++j) {
      // An f64 beyond the range of f32 counts as finite here: it is, where it stands.
      if (std::isfinite(block[j])) continue;
      if (x.dtype() == DType::f64 && std::isfinite(loaded<double>(x.raw(), i + j))) continue;
      if (count++ != 0) continue;
      first = static_cast<int64_t>(i + j);
      nan = std::isnan(block[j]);
    }
  }
  if (count == 0) return;
  throw corrupt(fmt::format("{} is {} ({} such value{})", place_of(x.shape(), first),
                            nan ? "NaN" : "infinite", count, count == 1 ? "" : "s"))
      .at("tensor " + in_quotes(name));
}

}  // namespace nibble
