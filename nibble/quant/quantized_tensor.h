// QuantizedTensor: a quantized weight as a bundle of plain tensors, so that every format can store
// it and every test can read it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "nibble/core/tensor.h"
#include "nibble/quant/scheme.h"

namespace nibble {

/// Stands for a weight [n, k], row-major: n outputs, k inputs. G = ceil(k / group), 1 for channel
/// and tensor. "The shape of scales" is [n, G], or [1, 1] for granularity tensor; scale i is that
/// of row i / G and group i % G.
///
///   integers, levels   (code - zero) * scale
///   table              NumberTraits::table()[code] * scale
///   blocks             as integers or as a table; with offsets, code * scale + offset
///
///   scales of         stored as          scale i                              super_scales
///   kPlainScales      f16, bf16 or f32   scales[i]
///   SuperScale::none  bytes              values()[scales[i]]
///   ::blocks          f32                scales[i]
///   ::blocks          bytes              values()[scales[i]]                  f32 [ceil(count /
///                                          * super_scales[i / 256]              256)]
///                                          + super_offsets[0] (f32 [1])
///   ::tensor          bytes              values()[scales[i]]                  f32 [1]
///                                          / super_scales[0]
///   ::inputs          bytes              values()[scales[i]]                  f32 [n, ceil(k /
///                                          * super_scales[row, input / 256]     256)]
///
/// Offset i is made of offsets and super_offsets as scale i is of scales and super_scales.
///
/// Every operation is rounded to f32 on its own.
struct QuantizedTensor {
  QuantScheme scheme;
  Shape shape;
  /// u8 [n, row_bytes]: unsigned codes, one LSB-first bit stream a row, rows padded to 32 bits. A
  /// symmetric integer code c in [-2^(b-1), 2^(b-1)-1] is stored as c + 2^(b-1).
  Tensor codes;
  Tensor scales;  ///< types as above, the shape of scales
  /// As scales in type and shape, where NumberTraits::offsets.
  std::optional<Tensor> offsets;
  /// u8, the shape of scales: unsigned zero points, where the scheme is asymmetric.
  std::optional<Tensor> zeros;
  std::optional<Tensor> super_scales, super_offsets;
  /// i32 [k], a permutation: column i of the codes, and its group, stand for input input_order[i].
  std::optional<Tensor> input_order;
  /// f32 [1], of the inputs: a8static's scale (a product needs it), a8outlier's threshold (without
  /// one, kOutlierThreshold).
  std::optional<Tensor> activation;

  int64_t n() const { return shape[0]; }
  int64_t k() const { return shape[1]; }
  /// Scale i, and offset i, as f32, whatever they are stored in.
  float scale(int64_t i) const;
  float offset(int64_t i) const;
  /// Bytes of codes, scales, zero points and orders.
  size_t bytes() const;
};

/// Bytes of one packed row of k codes: ceil(k * bits / 32) * 4.
int64_t packed_row_bytes(int64_t k, int bits);
/// One row of unsigned codes to and from its bit stream.
void pack_codes(std::span<const uint8_t> codes, int bits, std::span<uint8_t> row);
void unpack_codes(std::span<const uint8_t> row, int bits, std::span<uint8_t> codes);

/// The definition of what a QuantizedTensor means, f32 [n, k]. Every kernel is tested against it.
Tensor dequantize(const QuantizedTensor& q, int threads = 1);
/// One row of it, into out[k].
void dequantize_row(const QuantizedTensor& q, int64_t row, std::span<float> out);

/// Throws Error{corrupt} where the tensors of a bundle do not fit each other (for bundles read from
/// files).
void validate(const QuantizedTensor& q);

}  // namespace nibble
