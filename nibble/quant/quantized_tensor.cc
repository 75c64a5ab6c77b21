#include "nibble/quant/quantized_tensor.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/parallel.h"
#include "nibble/quant/nested_scales.h"
#include "nibble/quant/number.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

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
  if (q.scheme.is_float() || (q.scheme.asymmetric && !q.scheme.is_integer()) ||
      (q.scheme.granularity == Granularity::group && q.scheme.group < 1)) {
    throw unsupported(
        fmt::format("{} is not the scheme of a quantized weight", to_string(q.scheme)));
  }
  if (number(q.scheme).scales->super == SuperScale::inputs && q.k() % kSuperBlock != 0)
    throw corrupt(fmt::format("{} inputs of {} are no whole blocks of {}", q.k(),
                              to_string(q.scheme), kSuperBlock));
}

// The codes of floats that are not finite: none but fp8 has such.
void validate_codes(const QuantizedTensor& q) {
  const Shape wanted{q.n(), packed_row_bytes(q.k(), q.scheme.bits())};
  expect(q.codes.dtype() == DType::u8 && q.codes.shape() == wanted, "codes",
         fmt::format("u8 {}", wanted.to_string()), q.codes);
  if (!q.scheme.has_codebook() || q.scheme.bits() != 8) return;
  const auto table = number(q.scheme).table();
  const auto codes = q.codes.data<uint8_t>();
  for (size_t i = 0; i < codes.size(); ++i) {
    if (std::isfinite(table[codes[i]])) continue;
    const auto stride = static_cast<size_t>(wanted[1]);
    throw corrupt(fmt::format("row {} col {} is not finite (code {:#04x})", i / stride, i % stride,
                              codes[i]));
  }
}

bool may_hold_scales(const QuantScheme& s, DType dtype) {
  if (stored_scale_dtype(s, DType::f16) == dtype || stored_scale_dtype(s, DType::f32) == dtype)
    return true;
  return is_scale_dtype(dtype) && stored_scale_dtype(s, dtype) == dtype;
}

void expect_super(const std::optional<Tensor>& found, std::string_view part, bool wanted,
                  const Shape& shape) {
  if (found.has_value() != wanted) {
    throw corrupt(fmt::format("{} of a quantized weight are {}", part,
                              wanted ? "missing" : "there where none belong"));
  }
  if (!wanted) return;
  expect(found->dtype() == DType::f32 && found->shape() == shape, part,
         fmt::format("f32 {}", shape.to_string()), *found);
}

void validate_super_scales(const QuantizedTensor& q) {
  const NumberTraits& type = number(q.scheme);
  const SuperScale super = type.scales->super;
  if (super == SuperScale::inputs) {
    const Shape rows{q.n(), ceil_div(q.k(), kSuperBlock)};
    expect_super(q.super_scales, "super scales", true, rows);
    return expect_super(q.super_offsets, "super offsets", type.offsets, rows);
  }
  const bool nested = super == SuperScale::blocks && !is_scale_dtype(q.scales.dtype()),
             global = super == SuperScale::tensor;
  const Shape blocks{nested ? ceil_div(q.scales.elements(), kNestedBlock) : 1};
  expect_super(q.super_scales, "super scales", nested || global, blocks);
  expect_super(q.super_offsets, "super offsets", nested, Shape{1});
  if (!global) return;
  const float scale = q.super_scales->data<float>()[0];
  if (!(scale > 0) || !std::isfinite(scale)) {
    throw corrupt(fmt::format("the tensor's scale of an {} weight is {}, expected one above 0",
                              number(q.scheme).name, scale));
  }
}

void validate_offsets(const QuantizedTensor& q) {
  if (q.offsets.has_value() != number(q.scheme).offsets) {
    throw corrupt(fmt::format("a quantized weight of scheme {} {} offsets", to_string(q.scheme),
                              q.offsets ? "has" : "lacks"));
  }
  if (!q.offsets) return;
  expect(q.offsets->dtype() == q.scales.dtype() && q.offsets->shape() == q.scales.shape(),
         "offsets", fmt::format("{} {}", to_string(q.scales.dtype()), q.scales.shape().to_string()),
         *q.offsets);
}

// Whether no scale and no offset needs a second look.
bool plainly_finite_scales(const QuantizedTensor& q) {
  const Tensor& stored =
      number(q.scheme).scales->super == SuperScale::inputs ? *q.super_scales : q.scales;
  if (!plainly_finite(stored)) return false;
  if (!q.offsets) return true;
  return plainly_finite(q.super_offsets ? *q.super_offsets : *q.offsets);
}

void validate_scales(const QuantizedTensor& q) {
  const Shape wanted = scale_shape(q);
  expect(may_hold_scales(q.scheme, q.scales.dtype()) && q.scales.shape() == wanted, "scales",
         fmt::format("{} {}", number(q.scheme).scales->types, wanted.to_string()), q.scales);
  validate_offsets(q);
  validate_super_scales(q);
  if (plainly_finite_scales(q)) return;
  for (int64_t i = 0; i < q.scales.elements(); ++i) {
    if (std::isfinite(q.scale(i)) && (!q.offsets || std::isfinite(q.offset(i)))) continue;
    throw corrupt(fmt::format("{} of row {} group {} is not finite",
                              std::isfinite(q.scale(i)) ? "offset" : "scale", i / wanted[1],
                              i % wanted[1]));
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

void validate_order(const QuantizedTensor& q) {
  if (!q.input_order) return;
  expect(q.input_order->dtype() == DType::i32 && q.input_order->shape() == Shape{q.k()},
         "the input order", fmt::format("i32 [{}]", q.k()), *q.input_order);
  std::vector<bool> seen(static_cast<size_t>(q.k()));
  for (const int32_t input : q.input_order->data<int32_t>()) {
    if (input < 0 || input >= q.k() || seen[static_cast<size_t>(input)])
      throw corrupt(
          fmt::format("the input order of a quantized weight names input {} twice or "
                      "beyond the {} there are",
                      input, q.k()));
    seen[static_cast<size_t>(input)] = true;
  }
}

void validate_activation(const QuantizedTensor& q) {
  if (!q.activation) return;
  const ActivationType type = q.scheme.activations;
  if (type != ActivationType::a8_static && type != ActivationType::a8_outlier)
    throw corrupt(fmt::format("{} has no number of the inputs", to_string(q.scheme)));
  expect(q.activation->dtype() == DType::f32 && q.activation->shape() == Shape{1},
         "the inputs' scale or threshold", "f32 [1]", *q.activation);
  const float v = q.activation->data<float>()[0];
  if (!(v > 0) || !std::isfinite(v)) {
    throw corrupt(
        fmt::format("the inputs' scale or threshold is {}, expected a number above 0", v));
  }
}

size_t bytes_of(const std::optional<Tensor>& t) { return t ? t->bytes() : 0; }

int zero_of(const QuantizedTensor& q, int64_t i) {
  if (q.offsets) return 0;
  return q.zeros ? q.zeros->data<uint8_t>()[static_cast<size_t>(i)] : 1 << (q.scheme.bits() - 1);
}

// SuperScale::inputs: what scale i stands under.
float of_block(const QuantizedTensor& q, const Tensor& super, int64_t i) {
  const int64_t groups = q.scales.shape()[1], row = i / groups,
                block = i % groups * q.scheme.group_size(q.k()) / kSuperBlock;
  return super.data<float>()[static_cast<size_t>(row * super.shape()[1] + block)];
}

}  // namespace

size_t QuantizedTensor::bytes() const {
  return codes.bytes() + scales.bytes() + bytes_of(offsets) + bytes_of(zeros) +
         bytes_of(super_scales) + bytes_of(super_offsets) + bytes_of(input_order) +
         bytes_of(activation);
}

float QuantizedTensor::scale(int64_t i) const {
  if (is_scale_dtype(scales.dtype())) return scale_at(scales, i);
  const ScaleTraits& type = *number(scheme).scales;
  const float value = type.values()[static_cast<uint8_t>(scales.raw()[i])];
  if (!super_scales) return value;
  if (type.super == SuperScale::inputs) return value * of_block(*this, *super_scales, i);
  const auto super = super_scales->data<float>();
  if (!super_offsets) return value / super[0];
  const float product = value * super[static_cast<size_t>(i / kNestedBlock)];
  return product + super_offsets->data<float>()[0];
}

float QuantizedTensor::offset(int64_t i) const {
  if (is_scale_dtype(offsets->dtype())) return scale_at(*offsets, i);
  const float value = number(scheme).scales->values()[static_cast<uint8_t>(offsets->raw()[i])];
  return value * of_block(*this, *super_offsets, i);
}

namespace {

// What each code stands for in one group.
struct GroupValues {
  std::span<const float> table;  // empty: code - zero
  float scale, offset;
  int zero;
  bool adds;
  float operator()(size_t code) const {
    const float value =
        table.empty() ? static_cast<float>(static_cast<int>(code) - zero) : table[code];
    const float product = value * scale;
    return adds ? product + offset : product;
  }
};

// Of few codes each value is made once.
void fill_group(const GroupValues& value, int bits, std::span<const uint8_t> codes, float* out) {
  constexpr int kMostTabled = 4;  // bits
  if (bits > kMostTabled) {
    for (size_t i = 0; i < codes.size(); ++i) out[i] = value(codes[i]);
    return;
  }
  std::array<float, size_t{1} << kMostTabled> values;
  for (size_t c = 0; c < size_t{1} << bits; ++c) values[c] = value(c);
  for (size_t i = 0; i < codes.size(); ++i) out[i] = values[codes[i] & 15];
}

}  // namespace

void dequantize_row(const QuantizedTensor& q, int64_t row, std::span<float> out) {
  NIBBLE_CHECK(!q.scheme.is_float() && static_cast<int64_t>(out.size()) == q.k());
  const int bits = q.scheme.bits();
  const auto row_bytes = static_cast<size_t>(packed_row_bytes(q.k(), bits));
  std::vector<uint8_t> codes(out.size());
  unpack_codes(q.codes.data<uint8_t>().subspan(static_cast<size_t>(row) * row_bytes, row_bytes),
               bits, codes);
  const auto table = q.scheme.has_codebook() ? number(q.scheme).table() : std::span<const float>();
  const auto order = q.input_order ? q.input_order->data<int32_t>() : std::span<const int32_t>();
  const int64_t group = q.scheme.group_size(q.k());
  const bool one_scale = q.scheme.granularity == Granularity::tensor;
  int64_t at = one_scale ? 0 : row * q.scales.shape()[1];
  for (int64_t begin = 0; begin < q.k(); begin += group, ++at) {
    const GroupValues value{table, q.scale(at), q.offsets ? q.offset(at) : 0, zero_of(q, at),
                            q.offsets.has_value()};
    const auto from = static_cast<size_t>(begin),
               end = static_cast<size_t>(std::min(begin + group, q.k()));
    if (order.empty())
      fill_group(value, bits, std::span(codes).subspan(from, end - from), out.data() + from);
    for (size_t i = from; i < end && !order.empty(); ++i)
      out[static_cast<size_t>(order[i])] = value(codes[i]);
  }
}

Tensor dequantize(const QuantizedTensor& q, int threads) {
  constexpr int64_t kRows = 64;  // of one piece of work
  Tensor out(DType::f32, q.shape);
  const auto values = out.mutable_data<float>();
  const auto k = static_cast<size_t>(q.k());
  parallel_for(ceil_div(q.n(), kRows), threads, [&](int64_t piece) {
    for (int64_t r = piece * kRows; r < std::min((piece + 1) * kRows, q.n()); ++r)
      dequantize_row(q, r, values.subspan(static_cast<size_t>(r) * k, k));
  });
  return out;
}

void validate(const QuantizedTensor& q) {
  validate_shape(q);
  validate_codes(q);
  validate_scales(q);
  validate_zeros(q);
  validate_order(q);
  validate_activation(q);
}

}  // namespace nibble
