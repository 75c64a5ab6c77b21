#include "nibble/quant/quantized_tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

bool is_code_type(const QuantScheme& s) { return s.is_integer() || s.type == NumberType::ternary; }

Shape scale_shape(const QuantizedTensor& q) {
  if (q.scheme.granularity == Granularity::tensor) return {1, 1};
  return {q.n(), ceil_div(q.k(), q.scheme.group_size(q.k()))};
}

void expect(bool ok, std::string_view part, std::string_view expected, const Tensor& found) {
  if (ok) return;
  throw corrupt(fmt::format("{} of a quantized weight: expected {}, found {} {}", part, expected,
                            to_string(found.dtype()), found.shape().to_string()));
}

void validate_shape(const QuantizedTensor& q) {
  if (q.shape.rank() != 2 || q.n() < 1 || q.k() < 1) {
    throw corrupt(fmt::format("a quantized weight has shape {}, expected two extents of at least 1",
                              q.shape.to_string()));
  }
  if (!is_code_type(q.scheme) || (q.scheme.asymmetric && !q.scheme.is_integer()) ||
      (q.scheme.granularity == Granularity::group && q.scheme.group < 1)) {
    throw unsupported(
        fmt::format("a quantized weight of scheme {} cannot be read yet (int2 to "
                    "int8 and ternary can)",
                    to_string(q.scheme)));
  }
  if (q.super_scales || q.super_offsets || q.input_order || q.outliers) {
    throw unsupported(
        "a quantized weight with super scales, an input order or outliers cannot be read yet");
  }
}

void validate_scales(const QuantizedTensor& q) {
  const Shape wanted = scale_shape(q);
  expect(is_scale_dtype(q.scales.dtype()) && q.scales.shape() == wanted, "scales",
         fmt::format("f16, bf16 or f32 {}", wanted.to_string()), q.scales);
  for (int64_t i = 0; i < q.scales.elements(); ++i) {
    if (std::isfinite(scale_at(q.scales, i))) continue;
    throw corrupt(
        fmt::format("scale of row {} group {} is not finite", i / wanted[1], i % wanted[1]));
  }
}

void validate_zeros(const QuantizedTensor& q) {
  if (q.zeros.has_value() != q.scheme.asymmetric) {
    throw corrupt(fmt::format("a quantized weight of scheme {} {} zero points", to_string(q.scheme),
                              q.zeros ? "has" : "lacks"));
  }
  if (!q.zeros) return;
  const Shape wanted = scale_shape(q);
  expect(q.zeros->dtype() == DType::u8 && q.zeros->shape() == wanted, "zero points",
         fmt::format("u8 {}", wanted.to_string()), *q.zeros);
  const int largest = (1 << q.scheme.bits()) - 1;
  const auto zeros = q.zeros->data<uint8_t>();
  for (size_t i = 0; i < zeros.size(); ++i) {
    if (zeros[i] > largest)
      throw corrupt(fmt::format("zero point {} is {}, more than {}", i, zeros[i], largest));
  }
}

size_t bytes_of(const std::optional<Tensor>& t) { return t ? t->bytes() : 0; }

}  // namespace

size_t QuantizedTensor::bytes() const {
  return codes.bytes() + scales.bytes() + bytes_of(zeros) + bytes_of(super_scales) +
         bytes_of(super_offsets) + bytes_of(input_order) + bytes_of(outliers);
}

void dequantize_row(const QuantizedTensor& q, int64_t row, std::span<float> out) {
  NIBBLE_CHECK(is_code_type(q.scheme) && static_cast<int64_t>(out.size()) == q.k());
  const int bits = q.scheme.bits();
  const auto row_bytes = static_cast<size_t>(packed_row_bytes(q.k(), bits));
  std::vector<uint8_t> codes(out.size());
  unpack_codes(q.codes.data<uint8_t>().subspan(static_cast<size_t>(row) * row_bytes, row_bytes),
               bits, codes);
  const int64_t group = q.scheme.group_size(q.k());
  const bool one_scale = q.scheme.granularity == Granularity::tensor;
  int64_t at = one_scale ? 0 : row * q.scales.shape()[1];
  for (int64_t begin = 0; begin < q.k(); begin += group, ++at) {
    const float scale = scale_at(q.scales, at);
    const int zero = q.zeros ? q.zeros->data<uint8_t>()[static_cast<size_t>(at)] : 1 << (bits - 1);
    const auto end = static_cast<size_t>(std::min(begin + group, q.k()));
    for (auto i = static_cast<size_t>(begin); i < end; ++i)
      out[i] = static_cast<float>(codes[i] - zero) * scale;
  }
}

Tensor dequantize(const QuantizedTensor& q) {
  Tensor out(DType::f32, q.shape);
  const auto values = out.mutable_data<float>();
  const auto k = static_cast<size_t>(q.k());
  for (int64_t r = 0; r < q.n(); ++r)
    dequantize_row(q, r, values.subspan(static_cast<size_t>(r) * k, k));
  return out;
}

void validate(const QuantizedTensor& q) {
  validate_shape(q);
  const Shape wanted{q.n(), packed_row_bytes(q.k(), q.scheme.bits())};
  expect(q.codes.dtype() == DType::u8 && q.codes.shape() == wanted, "codes",
         fmt::format("u8 {}", wanted.to_string()), q.codes);
  validate_scales(q);
  validate_zeros(q);
}

}  // namespace nibble
