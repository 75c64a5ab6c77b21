#include "nibble/quant/grid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/quant/number.h"
#include "nibble/quant/scale.h"

namespace nibble {

LevelRange level_range(const QuantScheme& scheme, std::string_view method) {
  const NumberTraits& type = number(scheme);
  if (type.kind == NumberKind::levels) return {type.bits, false, type.low, type.high};
  if (!scheme.is_integer()) {
    throw unsupported(fmt::format("{} cannot make {} yet; use int2 to int8 or ternary", method,
                                  to_string(scheme)))
        .at("scheme");
  }
  const int half = 1 << (scheme.bits() - 1);
  return {scheme.bits(), scheme.asymmetric, -half, half - 1};
}

float round_signed_scale(float scale, DType dtype) {
  return scale < 0 ? -round_scale(-scale, dtype) : round_scale(scale, dtype);
}

Grid grid_of_range(const LevelRange& range, float low, float high, float divisor, DType dtype) {
  if (!range.asymmetric) {
    return {round_scale(std::max(-low, high) / divisor, dtype), static_cast<float>(range.low),
            static_cast<float>(range.high)};
  }
  const float last = static_cast<float>(range.codes() - 1);
  Grid g;
  g.scale = round_scale((high - low) / last, dtype);
  const float zero = g.scale == 0 ? 0 : std::nearbyint(std::min(-low / g.scale, last));
  g.low = -zero;
  g.high = last - zero;
  return g;
}

GridMatrix::GridMatrix(const QuantScheme& scheme, int64_t n, int64_t k, DType scale_dtype,
                       std::string_view method)
    : scheme_(scheme),
      range_(level_range(scheme, method)),
      scale_dtype_(scale_dtype),
      n_(n),
      k_(k),
      group_(scheme.group_size(k)),
      groups_(ceil_div(k, group_)),
      shared_(scheme.granularity == Granularity::tensor),
      grids_(static_cast<size_t>(shared_ ? 1 : n * groups_)),
      levels_(static_cast<size_t>(n * k)) {}

std::vector<float> GridMatrix::values() const {
  std::vector<float> out(levels_.size());
  for (int64_t r = 0; r < n_; ++r)
    for (int64_t c = 0; c < k_; ++c) out[static_cast<size_t>(r * k_ + c)] = value(r, c);
  return out;
}

void GridMatrix::require_finite_scales(std::string_view name) const {
  for (size_t i = 0; i < grids_.size(); ++i) {
    if (std::isfinite(grids_[i].scale)) continue;
    throw corrupt(fmt::format("the scale of row {} group {} does not fit {}; store scales as bf16 "
                              "or f32",
                              static_cast<int64_t>(i) / groups_, static_cast<int64_t>(i) % groups_,
                              to_string(scale_dtype_)))
        .at("tensor " + in_quotes(name));
  }
}

QuantizedTensor GridMatrix::pack() const {
  QuantizedTensor out;
  const Shape scale_shape = shared_ ? Shape{1, 1} : Shape{n_, groups_};
  const int64_t row_bytes = packed_row_bytes(k_, range_.bits);
  out.scheme = scheme_;
  out.shape = {n_, k_};
  out.codes = Tensor(DType::u8, {n_, row_bytes});
  out.scales = Tensor(scale_dtype_, scale_shape);
  if (range_.asymmetric) out.zeros = Tensor(DType::u8, scale_shape);
  for (size_t i = 0; i < grids_.size(); ++i) {
    put_scale(out.scales, static_cast<int64_t>(i), grids_[i].scale);
    if (out.zeros) out.zeros->mutable_data<uint8_t>()[i] = static_cast<uint8_t>(-grids_[i].low);
  }
  std::vector<uint8_t> codes(static_cast<size_t>(k_));
  const auto bytes = static_cast<size_t>(row_bytes);
  for (int64_t r = 0; r < n_; ++r) {
    for (int64_t c = 0; c < k_; ++c) {
      const int zero =
          range_.asymmetric ? static_cast<int>(-grid(r, c / group_).low) : 1 << (range_.bits - 1);
      codes[static_cast<size_t>(c)] =
          static_cast<uint8_t>(levels(r)[static_cast<size_t>(c)] + zero);
    }
    pack_codes(codes, range_.bits,
               out.codes.mutable_data<uint8_t>().subspan(static_cast<size_t>(r) * bytes, bytes));
  }
  return out;
}

GridMatrix GridMatrix::unpack(const QuantizedTensor& q, std::string_view method) {
  GridMatrix out(q.scheme, q.n(), q.k(), q.scales.dtype(), method);
  const LevelRange& range = out.range_;
  for (size_t i = 0; i < out.grids_.size(); ++i) {
    const int zero = q.zeros ? q.zeros->data<uint8_t>()[i] : 0;
    out.grids_[i] = {scale_at(q.scales, static_cast<int64_t>(i)),
                     static_cast<float>(q.zeros ? -zero : range.low),
                     static_cast<float>(q.zeros ? range.codes() - 1 - zero : range.high)};
  }
  std::vector<uint8_t> codes(static_cast<size_t>(q.k()));
  const auto bytes = static_cast<size_t>(q.codes.shape()[1]);
  for (int64_t r = 0; r < q.n(); ++r) {
    unpack_codes(q.codes.data<uint8_t>().subspan(static_cast<size_t>(r) * bytes, bytes), range.bits,
                 codes);
    for (int64_t c = 0; c < q.k(); ++c) {
      const int zero = range.asymmetric ? static_cast<int>(-out.grid(r, c / out.group_).low)
                                        : 1 << (range.bits - 1);
      out.levels(r)[static_cast<size_t>(c)] =
          static_cast<int16_t>(codes[static_cast<size_t>(c)] - zero);
    }
  }
  return out;
}

}  // namespace nibble
