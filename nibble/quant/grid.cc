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
  require_makeable(scheme);
  const NumberTraits& type = number(scheme);
  if (type.kind == NumberKind::levels) return LevelRange::whole(type.bits, type.low, type.high);
  const int half = 1 << (type.bits - 1);
  if (type.kind == NumberKind::blocks) {
    LevelRange out = LevelRange::whole(type.bits, -half, half - 1);
    out.blocks = true;
    out.offsets = type.offsets;
    if (type.offsets) out.low = 0, out.high = 2 * half - 1;
    if (type.table == nullptr) return out;
    out.values = type.table();
    out.low = static_cast<int>(out.values.front());
    out.high = static_cast<int>(out.values.back());
    return out;
  }
  if (!scheme.is_integer()) {
    throw unsupported(
        fmt::format("{} cannot make {} yet; use int2 to int8, ternary or a block type "
                    "of GGUF",
                    method, to_string(scheme)))
        .at("scheme");
  }
  LevelRange out = LevelRange::whole(type.bits, -half, half - 1);
  out.asymmetric = scheme.asymmetric;
  return out;
}

float nearest_value(float u, std::span<const float> values) {
  size_t i = 0;
  while (i + 1 < values.size() && u > (values[i] + values[i + 1]) / 2) ++i;
  return values[i];
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
      scale_dtype_(stored_scale_dtype(scheme, scale_dtype)),
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
    for (int64_t c = 0; c < k_; ++c)
      out[static_cast<size_t>(r * k_ + c)] = value(r, c) + grid(r, c / group_).offset;
  return out;
}

void GridMatrix::require_finite_scales(std::string_view name) const {
  for (size_t i = 0; i < grids_.size(); ++i) {
    if (std::isfinite(grids_[i].scale) && std::isfinite(grids_[i].offset)) continue;
    throw corrupt(fmt::format("the scale of row {} group {} does not fit {}; store scales as bf16 "
                              "or f32",
                              static_cast<int64_t>(i) / groups_, static_cast<int64_t>(i) % groups_,
                              to_string(scale_dtype_)))
        .at("tensor " + in_quotes(name));
  }
}

std::span<const float> GridMatrix::aim(std::span<const float> w, std::vector<float>& room) const {
  if (!range_.offsets) return w;
  room.assign(w.begin(), w.end());
  for (int64_t r = 0; r < n_; ++r)
    for (int64_t c = 0; c < k_; ++c)
      room[static_cast<size_t>(r * k_ + c)] -= grid(r, c / group_).offset;
  return room;
}

uint8_t GridMatrix::code_of(int16_t level, const Grid& g) const {
  if (!range_.values.empty()) {
    const auto at = std::find(range_.values.begin(), range_.values.end(), level);
    return static_cast<uint8_t>(at - range_.values.begin());
  }
  if (range_.asymmetric) return static_cast<uint8_t>(level + static_cast<int>(-g.low));
  return static_cast<uint8_t>(range_.offsets ? level : level + (1 << (range_.bits - 1)));
}

int16_t GridMatrix::level_of(uint8_t code, const Grid& g) const {
  if (!range_.values.empty()) return static_cast<int16_t>(range_.values[code]);
  if (range_.asymmetric) return static_cast<int16_t>(code - static_cast<int>(-g.low));
  return static_cast<int16_t>(range_.offsets ? code : code - (1 << (range_.bits - 1)));
}

void GridMatrix::pack_scales(QuantizedTensor& out) const {
  const Shape scales = shared_ ? Shape{1, 1} : Shape{n_, groups_};
  if (!two_levels_.scale.empty()) {
    const Shape supers{n_, ceil_div(k_, kSuperBlock)};
    const auto bytes = [&](const std::vector<int8_t>& from) {
      Tensor to(DType::i8, scales);
      std::copy(from.begin(), from.end(), to.mutable_data<int8_t>().begin());
      return to;
    };
    out.scales = bytes(two_levels_.scale);
    out.super_scales = Tensor::from<float>(supers, two_levels_.super_scale);
    if (!range_.offsets) return;
    out.offsets = bytes(two_levels_.offset);
    out.super_offsets = Tensor::from<float>(supers, two_levels_.super_offset);
    return;
  }
  out.scales = Tensor(scale_dtype_, scales);
  if (range_.asymmetric) out.zeros = Tensor(DType::u8, scales);
  if (range_.offsets) out.offsets = Tensor(scale_dtype_, scales);
  for (size_t i = 0; i < grids_.size(); ++i) {
    put_scale(out.scales, static_cast<int64_t>(i), grids_[i].scale);
    if (out.offsets) put_scale(*out.offsets, static_cast<int64_t>(i), grids_[i].offset);
    if (out.zeros) out.zeros->mutable_data<uint8_t>()[i] = static_cast<uint8_t>(-grids_[i].low);
  }
}

QuantizedTensor GridMatrix::pack() const {
  QuantizedTensor out;
  const int64_t row_bytes = packed_row_bytes(k_, range_.bits);
  out.scheme = scheme_;
  out.shape = {n_, k_};
  out.codes = Tensor(DType::u8, {n_, row_bytes});
  pack_scales(out);
  std::vector<uint8_t> codes(static_cast<size_t>(k_));
  const auto bytes = static_cast<size_t>(row_bytes);
  for (int64_t r = 0; r < n_; ++r) {
    for (int64_t c = 0; c < k_; ++c)
      codes[static_cast<size_t>(c)] =
          code_of(levels(r)[static_cast<size_t>(c)], grid(r, c / group_));
    pack_codes(codes, range_.bits,
               out.codes.mutable_data<uint8_t>().subspan(static_cast<size_t>(r) * bytes, bytes));
  }
  return out;
}

void GridMatrix::unpack_scales(const QuantizedTensor& q) {
  for (size_t i = 0; i < grids_.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    const int zero = q.zeros ? q.zeros->data<uint8_t>()[i] : 0;
    grids_[i] = {q.scale(at), static_cast<float>(q.zeros ? -zero : range_.low),
                 static_cast<float>(q.zeros ? range_.codes() - 1 - zero : range_.high),
                 q.offsets ? q.offset(at) : 0};
  }
  if (number(scheme_).scales->super != SuperScale::inputs) return;
  const auto copy = [](const auto& from, auto& to) { to.assign(from.begin(), from.end()); };
  copy(q.scales.data<int8_t>(), two_levels_.scale);
  copy(q.super_scales->data<float>(), two_levels_.super_scale);
  if (!q.offsets) return;
  copy(q.offsets->data<int8_t>(), two_levels_.offset);
  copy(q.super_offsets->data<float>(), two_levels_.super_offset);
}

GridMatrix GridMatrix::unpack(const QuantizedTensor& q, std::string_view method) {
  GridMatrix out(q.scheme, q.n(), q.k(), q.scales.dtype(), method);
  out.unpack_scales(q);
  std::vector<uint8_t> codes(static_cast<size_t>(q.k()));
  const auto bytes = static_cast<size_t>(q.codes.shape()[1]);
  for (int64_t r = 0; r < q.n(); ++r) {
    unpack_codes(q.codes.data<uint8_t>().subspan(static_cast<size_t>(r) * bytes, bytes),
                 out.range_.bits, codes);
    for (int64_t c = 0; c < q.k(); ++c)
      out.levels(r)[static_cast<size_t>(c)] =
          out.level_of(codes[static_cast<size_t>(c)], out.grid(r, c / out.group_));
  }
  return out;
}

}  // namespace nibble
