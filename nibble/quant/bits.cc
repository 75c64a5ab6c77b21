#include "nibble/quant/bits.h"

#include "nibble/core/checked.h"
#include "nibble/quant/nested_scales.h"
#include "nibble/quant/number.h"
#include "nibble/quant/scale.h"

namespace nibble {

namespace {

// Scales of GGUF's types lie packed in files, which in memory they do not.
int64_t stored_bytes(const Weight& w) {
  if (w.added() != nullptr)
    return stored_bytes(w.base()) + static_cast<int64_t>(w.added()->bytes());
  const bool blocks = w.is_quantized() && number(w.quantized().scheme).block.bytes > 0;
  if (!blocks) return static_cast<int64_t>(w.bytes());
  return planned_bytes(w.quantized().scheme, w.rows(), w.columns(), DType::f16);
}

}  // namespace

void BitCount::add(const Weight& w) {
  bytes_ += stored_bytes(w);
  weights_ += w.shape().elements();
}

double BitCount::bits_per_weight() const {
  return weights_ == 0 ? 0 : 8.0 * static_cast<double>(bytes_) / static_cast<double>(weights_);
}

double bits_per_weight(const QuantizedTensor& q) {
  BitCount count;
  count.add(q);
  return count.bits_per_weight();
}

namespace {

// Super scales and offsets, f32.
int64_t super_bytes(const QuantScheme& scheme, DType stored, int64_t scales) {
  switch (number(scheme).scales->super) {
    case SuperScale::tensor:
      return 4;
    case SuperScale::blocks:
      return is_scale_dtype(stored) ? 0 : 4 * ceil_div(scales, kNestedBlock) + 4;
    case SuperScale::none:
    case SuperScale::inputs:
      break;
  }
  return 0;
}

// The scale or threshold of the inputs.
int64_t activation_bytes(const QuantScheme& scheme) {
  const bool one = scheme.activations == ActivationType::a8_static ||
                   scheme.activations == ActivationType::a8_outlier;
  return one ? 4 : 0;
}

}  // namespace

int64_t planned_bytes(const QuantScheme& scheme, int64_t n, int64_t k, DType scale_dtype) {
  if (scheme.is_float()) return n * k * scheme.bits() / 8;
  const int64_t group = scheme.group_size(k);
  const QuantScheme storable = storable_scheme(scheme, k);
  if (storable != scheme && number(scheme).kind == NumberKind::blocks)
    return planned_bytes(storable, n, k, scale_dtype);
  if (const auto& block = number(scheme).block; block.bytes > 0)
    return n * k / block.elements * block.bytes + activation_bytes(scheme);
  if (storable != scheme)
    return n * (packed_row_bytes(k, 8) + size_of(scale_dtype)) + activation_bytes(scheme);
  const int64_t scales = scheme.granularity == Granularity::tensor ? 1 : n * (k / group);
  const DType stored = stored_scale_dtype(scheme, scale_dtype);
  const int64_t offset = number(scheme).offsets ? size_of(stored) : 0;
  const int64_t each = size_of(stored) + offset + (scheme.asymmetric ? 1 : 0);
  return n * packed_row_bytes(k, scheme.bits()) + scales * each +
         super_bytes(scheme, stored, scales) + activation_bytes(scheme);
}

}  // namespace nibble
