#include "nibble/nn/packed_weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/kernels/kernels.h"
#include "nibble/quant/codebook.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

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

bool reads_a8(const QuantScheme& scheme) {
  if (scheme.activations == ActivationType::none) return false;
  if (scheme.activations == ActivationType::a8) return true;
  throw unsupported(fmt::format("scheme {} cannot be run yet: activations may be a8 or left out",
                                to_string(scheme)));
}

// What a codebook adds to the description: its values, and scales that are bytes.
void describe_codebook(const QuantizedTensor& q, GemmWeight& out) {
  const NumberType type = q.scheme.type;
  out.traits.weight = type == NumberType::fp8_e4m3   ? WeightType::e4m3
                      : type == NumberType::fp8_e5m2 ? WeightType::e5m2
                                                     : WeightType::table;
  if (out.traits.weight == WeightType::table) out.table = codebook(type).data();
  if (is_scale_dtype(q.scales.dtype())) return;
  out.scale_type = ScaleType::table;
  out.scale_table = scale_values(type).data();
  if (type == NumberType::nvfp4) out.scale_divisor = q.super_scales->data<float>()[0];
  if (!q.super_offsets) return;
  out.super_scales = q.super_scales->data<float>().data();
  out.super_offset = q.super_offsets->data<float>()[0];
}

}  // namespace

PackedWeight::PackedWeight(LinearMember member, bool dequantize_on_the_fly)
    : member_(std::move(member)) {
  try {
    if (const auto* plain = std::get_if<Tensor>(&member_.weight)) {
      describe(*plain);
    } else {
      describe(std::get<QuantizedTensor>(member_.weight), dequantize_on_the_fly);
    }
    check_bias();
    const Kernel& kernel = choose_gemm(view_.traits);
    choices_ = {{std::numeric_limits<int64_t>::max(), &kernel}};
    pack();
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

void PackedWeight::describe(const Tensor& w) {
  if (w.shape().rank() != 2 || w.elements() == 0) {
    throw corrupt(fmt::format("expected a matrix with at least one row and one column, found {}",
                              w.shape().to_string()));
  }
  const FloatRow& row = float_row(w.dtype());
  scheme_.type = row.number;
  view_.traits.n = w.shape()[0];
  view_.traits.k = view_.traits.group = w.shape()[1];
  view_.traits.weight = row.weight;
  view_.row_bytes = w.shape()[1] * size_of(w.dtype());
}

void PackedWeight::describe(const QuantizedTensor& q, bool dequantize_on_the_fly) {
  validate(q);
  scheme_ = q.scheme;
  GemmTraits& t = view_.traits;
  t.n = q.n();
  t.k = q.k();
  t.weight = WeightType::codes;
  t.bits = q.scheme.bits();
  t.group = q.scheme.group_size(q.k());
  t.a8 = reads_a8(q.scheme) && !dequantize_on_the_fly;
  view_.row_bytes = q.codes.shape()[1];
  view_.scales = q.scales.raw();
  if (q.scheme.has_codebook()) describe_codebook(q, view_);
  if (view_.scale_table == nullptr) view_.scale_type = float_row(q.scales.dtype()).scale;
  view_.zeros = q.zeros ? q.zeros->data<uint8_t>().data() : nullptr;
  view_.scale_stride = q.scheme.granularity == Granularity::tensor ? 0 : q.scales.shape()[1];
}

void PackedWeight::pack() {
  Tensor& tensor = stored();
  stored_dtype_ = tensor.dtype();
  stored_shape_ = tensor.shape();
  view_.data = tensor.raw();
  const Kernel& kernel = *choices_.front().kernel;
  if (kernel.pack == nullptr) return;
  packed_ = Tensor(DType::u8, {kernel.packed_bytes(view_.traits)});
  kernel.pack(view_, packed_.mutable_raw());
  view_.data = packed_.raw();
  tensor = Tensor();
}

Tensor& PackedWeight::stored() {
  auto* q = std::get_if<QuantizedTensor>(&member_.weight);
  return q == nullptr ? std::get<Tensor>(member_.weight) : q->codes;
}

const Tensor& PackedWeight::stored() const {
  const auto* q = std::get_if<QuantizedTensor>(&member_.weight);
  return q == nullptr ? std::get<Tensor>(member_.weight) : q->codes;
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
  size_t sum = packed_.bytes() + stored().bytes();
  if (const auto* q = std::get_if<QuantizedTensor>(&member_.weight))
    sum += q->bytes() - q->codes.bytes();
  return sum;
}

size_t PackedWeight::memory_bytes() const {
  return weight_bytes() + (member_.bias ? member_.bias->bytes() : 0);
}

Weight PackedWeight::source() const {
  if (packed_.empty()) return member_.weight;
  Tensor rows(stored_dtype_, stored_shape_);
  choices_.front().kernel->unpack(view_.traits, packed_.raw(), rows.mutable_raw(), view_.row_bytes);
  Weight out = member_.weight;
  if (auto* q = std::get_if<QuantizedTensor>(&out)) {
    q->codes = std::move(rows);
  } else {
    out = std::move(rows);
  }
  return out;
}

}  // namespace nibble
