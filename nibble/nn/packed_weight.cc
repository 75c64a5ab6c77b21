#include "nibble/nn/packed_weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/parallel.h"
#include "nibble/kernels/kernels.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/quant/nested_scales.h"
#include "nibble/quant/number.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

// Slices that a thread packs at a time.
constexpr int64_t kPacked = 8;

struct FloatRow {
  DType dtype;
  NumberType number;
  ScaleType scale;
};
constexpr FloatRow kFloats[] = {
    {DType::f32, NumberType::f32, ScaleType::f32},
    {DType::f16, NumberType::f16, ScaleType::f16},
    {DType::bf16, NumberType::bf16, ScaleType::bf16},
};

const FloatRow& float_row(DType dtype) {
  for (const FloatRow& r : kFloats) {
    if (r.dtype == dtype) return r;
  }
  throw unsupported(
      fmt::format("a weight of {} cannot be multiplied (f32, f16 and bf16 can)", to_string(dtype)));
}

// [1, 1]: where one scale serves the whole weight, every row was given it.
Tensor first_element(const Tensor& t) {
  Tensor out(t.dtype(), {1, 1});
  std::memcpy(out.mutable_raw(), t.raw(), out.bytes());
  return out;
}

// Scales, offsets and what they stand under.
void describe_scales(const QuantizedTensor& q, GemmWeight& out) {
  const NumberTraits& type = number(q.scheme);
  out.scales = q.scales.raw();
  if (q.offsets) out.offsets = q.offsets->raw();
  if (is_scale_dtype(q.scales.dtype())) {
    out.scale_type = float_row(q.scales.dtype()).scale;
    return;
  }
  out.scale_type = type.scales->kernel;
  if (type.scales->super == SuperScale::inputs) {
    out.block_scales = q.super_scales->data<float>().data();
    if (q.super_offsets) out.block_offsets = q.super_offsets->data<float>().data();
    out.super_stride = q.super_scales->shape()[1];
  }
  if (type.scales->super == SuperScale::tensor) {
    out.scale_divisor = q.super_scales->data<float>()[0];
  } else if (type.scales->super == SuperScale::blocks) {
    out.scale_table = type.scales->values().data();
    out.super_scales = q.super_scales->data<float>().data();
    out.super_offset = q.super_offsets->data<float>()[0];
  }
}

// A few rows of a doubly quantized weight begin somewhere inside a block of super scales: their
// scales, the first of which is scale `first` of the whole, are written out.
void write_out_scales(QuantizedTensor& q, int64_t first) {
  Tensor plain(DType::f32, q.scales.shape());
  const auto bytes = q.scales.data<uint8_t>();
  const auto super = q.super_scales->data<float>();
  for (size_t i = 0; i < bytes.size(); ++i) {
    const float product = number(q.scheme).scales->values()[bytes[i]] *
                          super[(static_cast<size_t>(first) + i) / size_t{kNestedBlock}];
    plain.mutable_data<float>()[i] = product + q.super_offsets->data<float>()[0];
  }
  q.scales = std::move(plain);
  q.super_scales.reset();
  q.super_offsets.reset();
}

// What the packed form holds as well. That there were zero points or offsets is still said.
void let_packed_parts_go(QuantizedTensor& q) {
  q.scales = Tensor();
  for (std::optional<Tensor>* part : {&q.offsets, &q.zeros}) {
    if (*part) *part = Tensor();
  }
  if (number(q.scheme).scales->super != SuperScale::inputs) return;
  for (std::optional<Tensor>* part : {&q.super_scales, &q.super_offsets}) {
    if (*part) *part = Tensor();
  }
}

// Room for rows of the parts that were let go, and where the kernel shall put them.
void make_room(QuantizedTensor& q, DType scale_dtype, int64_t count, int64_t groups,
               GemmRows& out) {
  const Shape scales{count, groups};
  q.scales = Tensor(scale_dtype, scales);
  if (q.offsets) q.offsets = Tensor(scale_dtype, scales);
  if (q.zeros) q.zeros = Tensor(DType::u8, scales);
  out.scales = q.scales.mutable_raw();
  out.offsets = q.offsets ? q.offsets->mutable_raw() : nullptr;
  out.zeros = q.zeros ? q.zeros->mutable_data<uint8_t>().data() : nullptr;
  out.scale_stride = groups;
  if (number(q.scheme).scales->super != SuperScale::inputs) return;
  out.super_stride = ceil_div(q.k(), kSuperBlock);
  const Shape supers{count, out.super_stride};
  q.super_scales = Tensor(DType::f32, supers);
  out.block_scales = q.super_scales->mutable_data<float>().data();
  if (!q.super_offsets) return;
  q.super_offsets = Tensor(DType::f32, supers);
  out.block_offsets = q.super_offsets->mutable_data<float>().data();
}

}  // namespace

GemmTraits product_traits(const QuantScheme& scheme, int64_t n, int64_t k) {
  GemmTraits out;
  out.n = n;
  out.k = k;
  out.weight = number(scheme).kernel;
  out.bits = scheme.is_float() ? 0 : scheme.bits();
  out.group = scheme.group_size(k);
  out.a8 = scheme.has_int8_activations();
  return out;
}

PackedWeight::PackedWeight(LinearMember member, const LinearOptions& options)
    : member_(std::move(member)) {
  try {
    if (weight().is_quantized()) {
      describe(weight().quantized(), options.dequantize_on_the_fly);
    } else {
      reads_bf16_ = options.bf16_products && has_bf16_products();
      if (reads_bf16_) round_to_bf16();
      describe(weight().plain());
    }
    check_bias();
    kernel_ = reads_bf16_ ? &gemm_bf16_onednn() : &choose_gemm(view_.traits);
    pack(options.threads);
  } catch (Error& e) {
    throw std::move(e).at("tensor " + in_quotes(member_.name));
  }
}

void PackedWeight::check_bias() const {
  if (!member_.bias) return;
  const Tensor& bias = *member_.bias;
  if (bias.dtype() == DType::f32 && bias.shape() == Shape{n()}) return;
  throw corrupt(fmt::format("expected a bias of f32 [{}], found {} {}", n(),
                            to_string(bias.dtype()), bias.shape().to_string()));
}

void PackedWeight::round_to_bf16() {
  Tensor& w = member_.weight.plain();
  if (w.dtype() != DType::bf16) w = convert(w, DType::bf16);
}

void PackedWeight::describe(const Tensor& w) {
  if (w.shape().rank() != 2 || w.elements() == 0) {
    throw corrupt(fmt::format("expected a matrix with at least one row and one column, found {}",
                              w.shape().to_string()));
  }
  const FloatRow& row = float_row(w.dtype());
  scheme_.type = row.number;
  view_.traits = product_traits(scheme_, w.shape()[0], w.shape()[1]);
  view_.row_bytes = w.shape()[1] * size_of(w.dtype());
}

void PackedWeight::describe(const QuantizedTensor& q, bool dequantize_on_the_fly) {
  validate(q);
  scheme_ = q.scheme;
  GemmTraits& t = view_.traits;
  t = product_traits(scheme_, q.n(), q.k());
  t.a8 = t.a8 && !dequantize_on_the_fly;
  rounds_to_fp8_ = q.scheme.activations == ActivationType::afp8 && !dequantize_on_the_fly;
  if (t.a8) coding_.emplace(q);
  scale_dtype_ = q.scales.dtype();
  view_.row_bytes = q.codes.shape()[1];
  if (t.weight == WeightType::table) view_.table = number(scheme_).table().data();
  describe_scales(q, view_);
  view_.zeros = q.zeros ? q.zeros->data<uint8_t>().data() : nullptr;
  view_.scale_stride = q.scheme.granularity == Granularity::tensor ? 0 : q.scales.shape()[1];
}

void PackedWeight::pack(int threads) {
  Tensor& tensor = stored();
  stored_dtype_ = tensor.dtype();
  stored_columns_ = tensor.shape()[1];
  view_.data = tensor.raw();
  if (kernel_->pack == nullptr) return;
  packed_.reserve(kernel_->packed_bytes(view_));
  const int64_t slices = ceil_div(n(), kOutputSlice);
  parallel_for(ceil_div(slices, kPacked), threads, [&](int64_t piece) {
    const int64_t begin = piece * kPacked * kOutputSlice;
    kernel_->pack(view_, packed_.as(), begin, std::min(begin + kPacked * kOutputSlice, n()));
  });
  view_.data = packed_.as();
  view_.scales = nullptr;
  tensor = Tensor();
  if (!weight().is_quantized()) return;
  let_packed_parts_go(member_.weight.quantized());
  view_.block_scales = view_.block_offsets = nullptr;
}

Tensor& PackedWeight::stored() {
  Weight& w = member_.weight;
  return w.is_quantized() ? w.quantized().codes : w.plain();
}

const Tensor& PackedWeight::stored() const {
  return weight().is_quantized() ? weight().quantized().codes : weight().plain();
}

std::span<const int32_t> PackedWeight::input_order() const {
  if (!weight().is_quantized() || !weight().quantized().input_order) return {};
  return weight().quantized().input_order->data<int32_t>();
}

const float* PackedWeight::bias() const {
  return member_.bias ? member_.bias->data<float>().data() : nullptr;
}

int64_t PackedWeight::scratch_bytes() const {
  return kernel_->scratch_bytes == nullptr ? 0 : kernel_->scratch_bytes(view_.traits);
}

size_t PackedWeight::weight_bytes() const {
  return static_cast<size_t>(packed_.bytes()) + weight().bytes();
}

size_t PackedWeight::memory_bytes() const {
  return weight_bytes() + (member_.bias ? member_.bias->bytes() : 0);
}

Weight PackedWeight::stored_rows(int64_t begin, int64_t end) const {
  const int64_t count = end - begin;
  Tensor rows(stored_dtype_, {count, stored_columns_});
  GemmRows out{rows.mutable_raw(), view_.row_bytes};
  if (!weight().is_quantized()) {
    kernel_->unpack(view_, begin, end, out);
    return rows;
  }
  QuantizedTensor q = weight().quantized();
  const int64_t groups = ceil_div(view_.traits.k, view_.traits.group);
  q.shape = {count, view_.traits.k};
  make_room(q, scale_dtype_, count, groups, out);
  kernel_->unpack(view_, begin, end, out);
  q.codes = std::move(rows);
  const bool nested = number(q.scheme).scales->super == SuperScale::blocks && q.super_offsets;
  if (nested && count < n()) write_out_scales(q, begin * groups);
  if (q.scheme.granularity == Granularity::tensor) {
    q.scales = first_element(q.scales);
    if (q.zeros) q.zeros = first_element(*q.zeros);
  }
  return q;
}

Weight PackedWeight::source() const {
  return packed_.bytes() == 0 ? member_.weight : stored_rows(0, n());
}

void PackedWeight::weight_row(int64_t row, std::span<float> out) const {
  if (packed_.bytes() == 0) return weight().row(row, out);
  stored_rows(row, row + 1).row(0, out);
}

namespace {

// A slice's codes, then its scales, then its zero points.
struct SliceParts {
  SliceParts(const GemmWeight& view, int64_t scale_size)
      : groups(ceil_div(view.traits.k, view.traits.group)),
        scales(ceil_div(kOutputSlice * view.row_bytes, 64) * 64),
        zeros(scales + ceil_div(kOutputSlice * groups * scale_size, 64) * 64),
        bytes(zeros + ceil_div(kOutputSlice * groups, 64) * 64) {}
  int64_t groups, scales, zeros, bytes;
};

// Code i of a row, an LSB-first bit stream. No code of up to 8 bits lies in more than two bytes.
int code_at(const uint8_t* row, int64_t i, int bits) {
  const int64_t bit = i * bits;
  const int shift = static_cast<int>(bit % 8);
  unsigned both = row[bit / 8];
  if (shift + bits > 8) both |= static_cast<unsigned>(row[bit / 8 + 1]) << 8;
  return static_cast<int>((both >> shift) & ((1U << bits) - 1));
}

float read_scale(const std::byte* at, DType dtype) {
  if (dtype == DType::f32) {
    float v = 0;
    std::memcpy(&v, at, sizeof v);
    return v;
  }
  uint16_t half = 0;
  std::memcpy(&half, at, sizeof half);
  return dtype == DType::f16 ? f16_to_f32(half) : bf16_to_f32(half);
}

}  // namespace

int64_t PackedWeight::outlier_bytes() const {
  const bool spares = coding_ && coding_->spares_outliers();
  return spares ? SliceParts(view_, size_of(scale_dtype_)).bytes : 0;
}

void PackedWeight::outlier_rows(int64_t n_begin, int64_t n_end, std::byte* rows) const {
  const SliceParts parts(view_, size_of(scale_dtype_));
  std::byte* const scales = rows + parts.scales;
  std::byte* const zeros = rows + parts.zeros;
  if (packed_.bytes() != 0) {
    const bool asymmetric = scheme_.asymmetric;
    GemmRows out{rows, view_.row_bytes};
    out.scales = scales;
    out.zeros = asymmetric ? reinterpret_cast<uint8_t*>(zeros) : nullptr;
    out.scale_stride = parts.groups;
    return kernel_->unpack(view_, n_begin, n_end, out);
  }
  const int64_t size = size_of(scale_dtype_);
  const QuantizedTensor& q = weight().quantized();
  std::memcpy(rows, q.codes.raw() + n_begin * view_.row_bytes,
              static_cast<size_t>((n_end - n_begin) * view_.row_bytes));
  for (int64_t i = 0; i < (n_end - n_begin) * parts.groups; ++i) {
    const int64_t from = view_.scale_stride == 0 ? 0 : n_begin * parts.groups + i;
    std::memcpy(scales + i * size, q.scales.raw() + from * size, static_cast<size_t>(size));
    if (q.zeros) zeros[i] = q.zeros->raw()[from];
  }
}

void PackedWeight::add_outliers(const float* x, int64_t n_begin, int64_t n_end,
                                const std::byte* rows, float* y) const {
  const SliceParts parts(view_, size_of(scale_dtype_));
  const int bits = view_.traits.bits, middle = 1 << (bits - 1);
  const int64_t size = size_of(scale_dtype_);
  for (int64_t i = 0; i < view_.traits.k; ++i) {
    if (!(std::fabs(x[i]) > coding_->threshold())) continue;
    const int64_t group = i / view_.traits.group;
    for (int64_t j = n_begin; j < n_end; ++j) {
      const int64_t row = j - n_begin, at = row * parts.groups + group;
      const int code =
          code_at(reinterpret_cast<const uint8_t*>(rows) + row * view_.row_bytes, i, bits);
      const int zero = scheme_.asymmetric ? static_cast<int>(rows[parts.zeros + at]) : middle;
      const float w = static_cast<float>(code - zero) *
                      read_scale(rows + parts.scales + at * size, scale_dtype_);
      y[j] = std::fma(x[i], w, y[j]);
    }
  }
}

}  // namespace nibble
