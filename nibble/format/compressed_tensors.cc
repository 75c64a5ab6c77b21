// The tensors of compressed-tensors, as nibble writes them.
#include "nibble/format/compressed_tensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "nibble/core/checked.h"
#include "nibble/format/compressed_tensors_parts.h"
#include "nibble/format/layout_parts.h"
#include "nibble/quant/number.h"

namespace nibble::compressed_tensors {
namespace {

Tensor scales_as_stored(const QuantizedTensor& q) {
  return q.scheme.granularity == Granularity::tensor ? q.scales.reshaped(Shape{1}) : q.scales;
}

Tensor to_signed_bytes(const QuantizedTensor& q) {
  const Tensor rows = with_row_bytes(q.codes, q.k());
  return seen_as(with_signs_flipped(rows), DType::i8, q.shape);
}

// Zero points are packed down the output axis: column g is one LSB-first bit stream over the n
// rows.
Tensor pack_zeros(const Tensor& zeros, int bits) {
  const int64_t n = zeros.shape()[0], groups = zeros.shape()[1],
                words = packed_row_bytes(n, bits) / 4;
  Tensor out(DType::i32, Shape{words, groups});
  const auto z = zeros.data<uint8_t>();
  auto to = out.mutable_data<int32_t>();
  std::vector<uint8_t> column(static_cast<size_t>(n)), stream(static_cast<size_t>(words * 4));
  for (int64_t g = 0; g < groups; ++g) {
    for (int64_t r = 0; r < n; ++r)
      column[static_cast<size_t>(r)] = z[static_cast<size_t>(r * groups + g)];
    pack_codes(column, bits, stream);
    for (int64_t w = 0; w < words; ++w) {
      std::memcpy(&to[static_cast<size_t>(w * groups + g)], stream.data() + w * 4, 4);
    }
  }
  return out;
}

std::vector<NamedTensor> packed_words(const std::string& x, const QuantizedTensor& q) {
  const Shape words{q.n(), q.codes.shape()[1] / 4};
  const int64_t dims[] = {q.n(), q.k()};
  std::vector<NamedTensor> out{{x + ".weight_packed", seen_as(q.codes, DType::i32, words)},
                               {x + ".weight_scale", scales_as_stored(q)},
                               {x + ".weight_shape", Tensor::from<int64_t>(Shape{2}, dims)}};
  if (q.zeros) out.push_back({x + ".weight_zero_point", pack_zeros(*q.zeros, q.scheme.bits())});
  return out;
}

// E2M1: even columns in the low half of a byte, as in our own rows, which are padded.
std::vector<NamedTensor> packed_floats(const std::string& x, const QuantizedTensor& q) {
  std::vector<NamedTensor> out{
      {x + ".weight_packed", with_row_bytes(q.codes, ceil_div(q.k(), int64_t{2}))},
      {x + ".weight_scale", q.scales}};
  if (q.super_scales) out.push_back({x + ".weight_global_scale", *q.super_scales});
  return out;
}

}  // namespace

const WeightRow* find_row(const QuantScheme& s) {
  for (const WeightRow& r : kWeightRows) {
    const bool type = r.bits == 0 ? s.is_integer() : r.type == s.type;
    if (type && r.granularity == s.granularity) return &r;
  }
  return nullptr;
}

// int8 weights with int8 activations lie as plain I8; other integers as packed words.
Storing storing(const QuantScheme& s) {
  const bool bytes = s.type == NumberType::int8 && s.has_int8_activations() && !s.asymmetric &&
                     s.granularity != Granularity::group;
  const WeightRow* row = find_row(s);
  NIBBLE_CHECK(row != nullptr);
  return bytes ? Storing::signed_bytes : row->storing;
}

std::string activation_name(const std::string& x, const QuantScheme& s) {
  if (s.activations == ActivationType::a8_static) return x + ".input_scale";
  return s.activations == ActivationType::a8_outlier ? x + ".input_threshold" : "";
}

std::string order_name(const std::string& x) { return x + ".weight_g_idx"; }

std::string_view format_of(const QuantScheme& s) {
  return storing(s) == Storing::signed_bytes ? "int-quantized" : find_row(s)->format;
}

namespace {

std::vector<NamedTensor> weight_tensors(const std::string& x, const QuantizedTensor& q) {
  switch (storing(q.scheme)) {
    case Storing::signed_bytes:
      return {{x + ".weight", to_signed_bytes(q)}, {x + ".weight_scale", scales_as_stored(q)}};
    case Storing::plain_floats:
      return {{x + ".weight", seen_as(with_row_bytes(q.codes, q.k()), DType::f8_e4m3, q.shape)},
              {x + ".weight_scale", scales_as_stored(q)}};
    case Storing::packed_floats:
      return packed_floats(x, q);
    case Storing::packed_words:
      break;
  }
  return packed_words(x, q);
}

}  // namespace

std::vector<NamedTensor> to_tensors(const std::string& x, const QuantizedTensor& q) {
  NIBBLE_CHECK(!q.input_order);  // only files of others have one
  std::vector<NamedTensor> out = weight_tensors(x, q);
  if (const std::string name = activation_name(x, q.scheme); !name.empty()) {
    NIBBLE_CHECK(q.activation.has_value());
    out.push_back({name, *q.activation});
  }
  return out;
}

namespace {

std::vector<TensorInfo> weight_layout(const std::string& x, const QuantScheme& scheme,
                                      const Shape& shape, DType scale_dtype) {
  const int64_t n = shape[0], k = shape[1], words = packed_row_bytes(k, scheme.bits()) / 4;
  const Shape full = scales_shape(scheme, n, k);
  const TensorInfo scale{x + ".weight_scale", stored_scale_dtype(scheme, scale_dtype),
                         scheme.granularity == Granularity::tensor ? Shape{1} : full};
  const Storing how = storing(scheme);
  if (how == Storing::signed_bytes) return {{x + ".weight", DType::i8, shape}, scale};
  if (how == Storing::plain_floats) return {{x + ".weight", DType::f8_e4m3, shape}, scale};
  if (how == Storing::packed_floats) {
    std::vector<TensorInfo> out{
        {x + ".weight_packed", DType::u8, Shape{n, ceil_div(k, int64_t{2})}}, scale};
    if (number(scheme).scales->super == SuperScale::tensor)
      out.push_back({x + ".weight_global_scale", DType::f32, Shape{1}});
    return out;
  }
  std::vector<TensorInfo> out{{x + ".weight_packed", DType::i32, Shape{n, words}},
                              scale,
                              {x + ".weight_shape", DType::i64, Shape{2}}};
  if (scheme.asymmetric) {
    const int64_t rows = packed_row_bytes(full[0], scheme.bits()) / 4;
    out.push_back({x + ".weight_zero_point", DType::i32, Shape{rows, full[1]}});
  }
  return out;
}

}  // namespace

std::vector<TensorInfo> layout(const std::string& x, const QuantScheme& scheme, const Shape& shape,
                               DType scale_dtype) {
  std::vector<TensorInfo> out = weight_layout(x, scheme, shape, scale_dtype);
  if (const std::string name = activation_name(x, scheme); !name.empty())
    out.push_back({name, DType::f32, Shape{1}});
  return out;
}

namespace {

bool holds(const QuantScheme& s) { return find_row(s) != nullptr; }

bool can_hold(const QuantScheme& s) {
  const WeightRow* row = find_row(s);
  if (row == nullptr || s.activations == ActivationType::a8_outlier) return false;
  return s.activations != ActivationType::afp8 || row->storing == Storing::plain_floats;
}

bool can_say(const SchemeMap& schemes) {
  return std::all_of(schemes.begin(), schemes.end(),
                     [](const auto& entry) { return can_hold(entry.second); });
}

}  // namespace

const WeightLayout& weight_layout() {
  static const WeightLayout kLayout = {.holds_what = kHolds,
                                       .holds = holds,
                                       .can_hold = can_hold,
                                       .can_say = can_say,
                                       .usual_scheme = "int8",
                                       .conv1d = true,
                                       .to_tensors = to_tensors,
                                       .infos = layout,
                                       .from_tensors = from_tensors,
                                       .stored_names = stored_names,
                                       .write_config = write_config,
                                       .read_config = read_config};
  return kLayout;
}

}  // namespace nibble::compressed_tensors
