// Quantized weights as blocks of GGUF.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstring>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/format/gguf_write.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

// Steps from an offset of each group, both plain numbers: of whatever file.
bool is_affine(const QuantScheme& s) {
  return number(s).offsets && number(s).scales->super == SuperScale::none;
}

// Whether weights of `scheme` are such of `type` with groups as large or larger: scales are then
// repeated.
bool holds_by_cutting(const GgufType& type, const QuantScheme& scheme) {
  const QuantScheme& own = *type.scheme;
  const bool integers = own.type == scheme.type && !scheme.asymmetric && scheme.is_integer();
  const bool affine = is_affine(own) && is_affine(scheme) && own.bits() == scheme.bits();
  if (!integers && !affine) return false;
  if (scheme.granularity != Granularity::group) return true;
  return scheme.group % own.group == 0;
}

// Takes the parts of a weight, block by block.
class BlockParts {
 public:
  BlockParts(const QuantizedTensor& q, const GgufType& type)
      : q_(q), type_(type), group_(type.scheme->group_size(q.k())) {
    two_levels_ = number(*type.scheme).scales->super == SuperScale::inputs;
  }

  // Block b of row r, whose codes are `codes`.
  void fill(int64_t r, int64_t b, std::span<const uint8_t> codes, GgufBlock& out) const {
    std::memcpy(out.codes, codes.data() + b * type_.elements, static_cast<size_t>(type_.elements));
    const auto size = static_cast<size_t>(size_of(type_.scale_dtype));
    const int64_t groups = type_.elements / group_;
    for (int64_t g = 0; g < groups; ++g) {
      const auto to = static_cast<size_t>(g) * size;
      const int64_t at = scale_index(r, b * type_.elements + g * group_);
      put(q_.scales, &QuantizedTensor::scale, at, out.scales + to, size);
      if (q_.offsets) put(*q_.offsets, &QuantizedTensor::offset, at, out.offsets + to, size);
    }
    if (!two_levels_) return;
    const auto at = static_cast<size_t>(r * (q_.k() / kSuperBlock) + b);
    out.super_scale = q_.super_scales->data<float>()[at];
    out.super_offset = q_.super_offsets ? q_.super_offsets->data<float>()[at] : 0;
  }

 private:
  int64_t scale_index(int64_t r, int64_t input) const {
    if (q_.scheme.granularity == Granularity::tensor) return 0;
    return r * q_.scales.shape()[1] + input / q_.scheme.group_size(q_.k());
  }

  // A scale or an offset as the type stores it.
  void put(const Tensor& from, float (QuantizedTensor::*value_of)(int64_t) const, int64_t at,
           uint8_t* to, size_t size) const {
    if (from.dtype() == type_.scale_dtype)
      return void(std::memcpy(to, from.raw() + static_cast<size_t>(at) * size, size));
    const float value = (q_.*value_of)(at);
    const uint16_t half = f32_to_f16(value);
    if (f16_to_f32(half) != value) {
      throw unsupported(
          fmt::format("a scale of {} is none of f16, in which {} stores them: use "
                      "`scale_dtype` f16",
                      value, type_.name));
    }
    std::memcpy(to, &half, sizeof half);
  }

  const QuantizedTensor& q_;
  const GgufType& type_;
  int64_t group_;
  bool two_levels_ = false;
};

}  // namespace

const GgufType* gguf_type_of(const QuantScheme& scheme) {
  QuantScheme weights = scheme;
  weights.activations = ActivationType::none;
  for (const GgufType& t : gguf_types()) {
    if (t.scheme && t.pack != nullptr && *t.scheme == weights) return &t;
  }
  for (const GgufType& t : gguf_types()) {
    if (t.scheme && t.pack != nullptr && holds_by_cutting(t, weights)) return &t;
  }
  return nullptr;
}

const GgufType* gguf_type_of(DType dtype) {
  for (const GgufType& t : gguf_types()) {
    if (t.plain == dtype) return &t;
  }
  return nullptr;
}

void require_gguf_type(const QuantScheme& scheme) {
  if (gguf_type_of(scheme) != nullptr) return;
  require_makeable(scheme);
  std::vector<std::string> held;
  for (const GgufType& t : gguf_types()) {
    if (t.pack != nullptr) held.push_back(to_string(*t.scheme));
  }
  throw unsupported(fmt::format("no type of GGUF holds {}; {} are held", to_string(scheme),
                                fmt::join(held, ", ")))
      .at("scheme");
}

std::vector<std::byte> gguf_rows(const QuantizedTensor& q, const GgufType& type) {
  if (q.input_order)
    throw unsupported("GGUF has no place for the order of inputs (act-order) of this weight");
  const int64_t blocks = q.k() / type.elements;
  const BlockParts parts(q, type);
  std::vector<std::byte> out(static_cast<size_t>(q.n() * blocks * type.bytes));
  std::vector<uint8_t> codes(static_cast<size_t>(q.k()));
  const auto row_bytes = static_cast<size_t>(q.codes.shape()[1]);
  auto* to = reinterpret_cast<uint8_t*>(out.data());
  GgufBlock block{};
  for (int64_t r = 0; r < q.n(); ++r) {
    unpack_codes(q.codes.data<uint8_t>().subspan(static_cast<size_t>(r) * row_bytes, row_bytes),
                 q.scheme.bits(), codes);
    for (int64_t b = 0; b < blocks; ++b, to += type.bytes) {
      parts.fill(r, b, codes, block);
      type.pack(block, to);
    }
  }
  return out;
}

}  // namespace nibble
