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
#include "nibble/quant/codebook.h"
#include "nibble/quant/nested_scales.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

// Slices that a thread packs at a time.
constexpr int64_t kPacked = 8;

struct FloatRow {
  DType dtype;
  NumberType number;
  WeightType weight;
  ScaleType scale;
};
constexpr FloatRow kFloats[] = {
    {DType::f32, NumberType::f32, WeightType::f32, ScaleType::f32},
    {DType::f16, NumberType::f16, WeightType::f16, ScaleType::f16},
    {DType::bf16, NumberType::bf16, WeightType::bf16, ScaleType::bf16},
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

// What a codebook adds to the description: its values, and scales that are bytes.
void describe_codebook(const QuantizedTensor& q, GemmWeight& out) {
  const NumberType type = q.scheme.type;
  if (out.traits.weight == WeightType::table) out.table = codebook(type).data();
  if (is_scale_dtype(q.scales.dtype())) {
    out.scale_type = float_row(q.scales.dtype()).scale;
  } else if (type == NumberType::mxfp4) {
    out.scale_type = ScaleType::e8m0;
  } else if (type == NumberType::nvfp4) {
    out.scale_type = ScaleType::e4m3;
    out.scale_divisor = q.super_scales->data<float>()[0];
  } else {
    out.scale_type = ScaleType::nested;
    out.scale_table = scale_values(type).data();
    out.super_scales = q.super_scales->data<float>().data();
    out.super_offset = q.super_offsets->data<float>()[0];
  }
}

WeightType weight_type(const QuantScheme& scheme) {
  for (const FloatRow& r : kFloats) {
    if (r.number == scheme.type) return r.weight;
  }
  if (scheme.type == NumberType::fp8_e4m3) return WeightType::e4m3;
  if (scheme.type == NumberType::fp8_e5m2) return WeightType::e5m2;
  return scheme.has_codebook() ? WeightType::table : WeightType::codes;
}

// A few rows of a doubly quantized weight begin somewhere inside a block of super scales: their
// scales, the first of which is scale `first` of the whole, are written out.
void write_out_scales(QuantizedTensor& q, int64_t first) {
  Tensor plain(DType::f32, q.scales.shape());
  const auto bytes = q.scales.data<uint8_t>();
  const auto super = q.super_scales->data<float>();
  for (size_t i = 0; i < bytes.size(); ++i) {
    const float product = scale_values(q.scheme.type)[bytes[i]] *
                          super[(static_cast<size_t>(first) + i) / size_t{kNestedBlock}];
    plain.mutable_data<float>()[i] = product + q.super_offsets->data<float>()[0];
  }
  q.scales = std::move(plain);
  q.super_scales.reset();
  q.super_offsets.reset();
}

}  // namespace

GemmTraits product_traits(const QuantScheme& scheme, int64_t n, int64_t k) {
  GemmTraits out;
  out.n = n;
  out.k = k;
  out.weight = weight_type(scheme);
  out.bits = scheme.is_float() ? 0 : scheme.bits();
  out.group = scheme.group_size(k);
  out.a8 = scheme.has_int8_activations();
  return out;
}

PackedWeight::PackedWeight(LinearMember member, const LinearOptions& options)
    : member_(std::move(member)) {
  try {
    if (const auto* plain = std::get_if<Tensor>(&member_.weight)) {
      reads_bf16_ = options.bf16_products && has_bf16_products();
      if (reads_bf16_) round_to_bf16();
      describe(*plain);
    } else {
      describe(std::get<QuantizedTensor>(member_.weight), options.dequantize_on_the_fly);
    }
    check_bias();
    const Kernel& kernel = reads_bf16_ ? gemm_bf16_onednn() : choose_gemm(view_.traits);
    choices_ = {{std::numeric_limits<int64_t>::max(), &kernel}};
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
  Tensor& w = std::get<Tensor>(member_.weight);
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
  view_.scales = q.scales.raw();
  if (q.scheme.has_codebook())
    describe_codebook(q, view_);
  else
    view_.scale_type = float_row(q.scales.dtype()).scale;
  view_.zeros = q.zeros ? q.zeros->data<uint8_t>().data() : nullptr;
  view_.scale_stride = q.scheme.granularity == Granularity::tensor ? 0 : q.scales.shape()[1];
}

void PackedWeight::pack(int threads) {
  Tensor& tensor = stored();
  stored_dtype_ = tensor.dtype();
  stored_columns_ = tensor.shape()[1];
  view_.data = tensor.raw();
  const Kernel& kernel = *choices_.front().kernel;
  if (kernel.pack == nullptr) return;
  packed_.reserve(kernel.packed_bytes(view_));
  const int64_t slices = ceil_div(n(), kOutputSlice);
  parallel_for(ceil_div(slices, kPacked), threads, [&](int64_t piece) {
    const int64_t begin = piece * kPacked * kOutputSlice;
    kernel.pack(view_, packed_.as(), begin, std::min(begin + kPacked * kOutputSlice, n()));
  });
  view_.data = packed_.as();
  view_.scales = nullptr;
  tensor = Tensor();
  if (auto* q = std::get_if<QuantizedTensor>(&member_.weight)) {
    scale_dtype_ = q->scales.dtype();
    q->scales = Tensor();
    if (q->zeros) q->zeros = Tensor();
  }
}

Tensor& PackedWeight::stored() {
  auto* q = std::get_if<QuantizedTensor>(&member_.weight);
  return q == nullptr ? std::get<Tensor>(member_.weight) : q->codes;
}

const Tensor& PackedWeight::stored() const {
  const auto* q = std::get_if<QuantizedTensor>(&member_.weight);
  return q == nullptr ? std::get<Tensor>(member_.weight) : q->codes;
}

std::span<const int32_t> PackedWeight::input_order() const {
  const auto* q = std::get_if<QuantizedTensor>(&member_.weight);
  if (q == nullptr || !q->input_order) return {};
  return q->input_order->data<int32_t>();
}

const float* PackedWeight::bias() const {
  return member_.bias ? member_.bias->data<float>().data() : nullptr;
}

const Kernel& PackedWeight::kernel(int64_t m) const {
  for (const Choice& c : choices_) {
    if (m <= c.rows) return *c.kernel;
  }
  NIBBLE_CHECK(false);
  return *choices_.back().kernel;
}

int64_t PackedWeight::scratch_bytes() const {
  int64_t most = 0;
  for (const Choice& c : choices_) {
    if (c.kernel->scratch_bytes != nullptr)
      most = std::max(most, c.kernel->scratch_bytes(view_.traits));
  }
  return most;
}

size_t PackedWeight::weight_bytes() const {
  size_t sum = static_cast<size_t>(packed_.bytes()) + stored().bytes();
  if (const auto* q = std::get_if<QuantizedTensor>(&member_.weight))
    sum += q->bytes() - q->codes.bytes();
  return sum;
}

size_t PackedWeight::memory_bytes() const {
  return weight_bytes() + (member_.bias ? member_.bias->bytes() : 0);
}

Weight PackedWeight::stored_rows(int64_t begin, int64_t end) const {
  const int64_t count = end - begin;
  Tensor rows(stored_dtype_, {count, stored_columns_});
  GemmRows out{rows.mutable_raw(), view_.row_bytes};
  const Kernel& kernel = *choices_.front().kernel;
  if (std::holds_alternative<Tensor>(member_.weight)) {
    kernel.unpack(view_, begin, end, out);
    return rows;
  }
  QuantizedTensor q = std::get<QuantizedTensor>(member_.weight);
  const int64_t groups = ceil_div(view_.traits.k, view_.traits.group);
  q.shape = {count, view_.traits.k};
  q.scales = Tensor(scale_dtype_, {count, groups});
  if (q.zeros) q.zeros = Tensor(DType::u8, {count, groups});
  out.scales = q.scales.mutable_raw();
  out.zeros = q.zeros ? q.zeros->mutable_data<uint8_t>().data() : nullptr;
  out.scale_stride = groups;
  kernel.unpack(view_, begin, end, out);
  q.codes = std::move(rows);
  if (q.super_offsets && count < n()) write_out_scales(q, begin * groups);
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
  if (packed_.bytes() == 0) return Embedding(member_.weight).lookup(row, out);
  Embedding(stored_rows(row, row + 1)).lookup(0, out);
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
  const auto* q = std::get_if<QuantizedTensor>(&member_.weight);
  std::byte* const scales = rows + parts.scales;
  std::byte* const zeros = rows + parts.zeros;
  if (packed_.bytes() != 0) {
    const bool asymmetric = scheme_.asymmetric;
    choices_.front().kernel->unpack(
        view_, n_begin, n_end,
        {rows, view_.row_bytes, scales, asymmetric ? reinterpret_cast<uint8_t*>(zeros) : nullptr,
         parts.groups});
    return;
  }
  const int64_t size = size_of(scale_dtype_);
  std::memcpy(rows, q->codes.raw() + n_begin * view_.row_bytes,
              static_cast<size_t>((n_end - n_begin) * view_.row_bytes));
  for (int64_t i = 0; i < (n_end - n_begin) * parts.groups; ++i) {
    const int64_t from = view_.scale_stride == 0 ? 0 : n_begin * parts.groups + i;
    std::memcpy(scales + i * size, q->scales.raw() + from * size, static_cast<size_t>(size));
    if (q->zeros) zeros[i] = q->zeros->raw()[from];
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
