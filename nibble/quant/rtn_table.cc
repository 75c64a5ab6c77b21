#include "nibble/quant/rtn_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/finite.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

// The largest magnitude of every group, f32 in the shape of the scales.
Tensor group_magnitudes(const Tensor& w, const QuantScheme& scheme) {
  const int64_t n = w.shape()[0], k = w.shape()[1], group = scheme.group_size(k);
  const auto x = w.data<float>();
  if (scheme.granularity == Granularity::tensor) {
    const float all[] = {largest_magnitude(x)};
    return Tensor::from<float>(Shape{1, 1}, all);
  }
  Tensor out(DType::f32, Shape{n, ceil_div(k, group)});
  auto to = out.mutable_data<float>().begin();
  for (int64_t r = 0; r < n; ++r) {
    const auto row = x.subspan(static_cast<size_t>(r * k), static_cast<size_t>(k));
    for (int64_t begin = 0; begin < k; begin += group) {
      *to++ = largest_magnitude(
          row.subspan(static_cast<size_t>(begin), static_cast<size_t>(std::min(group, k - begin))));
    }
  }
  return out;
}

void check_scales(const QuantizedTensor& q, std::string_view name) {
  const float top = largest_value(number(q.scheme));
  for (int64_t i = 0; i < q.scales.elements(); ++i) {
    if (std::isfinite(q.scale(i) * top)) continue;
    throw corrupt(fmt::format("the scale of row {} group {} does not fit {}: weights are too large"
                              " for {} (store scales as bf16 or f32, or keep this tensor)",
                              i / q.scales.shape()[1], i % q.scales.shape()[1],
                              to_string(q.scales.dtype()), to_string(q.scheme)))
        .at("tensor " + in_quotes(name));
  }
}

// The codes of one row.
void encode_row(std::span<const float> x, int64_t row, const QuantizedTensor& q,
                std::span<float> scaled, std::span<uint8_t> codes) {
  const auto group = static_cast<size_t>(q.scheme.group_size(q.k()));
  const bool one_scale = q.scheme.granularity == Granularity::tensor;
  int64_t at = one_scale ? 0 : row * q.scales.shape()[1];
  for (size_t begin = 0; begin < x.size(); begin += group, ++at) {
    const float scale = q.scale(at);
    const size_t end = std::min(begin + group, x.size());
    for (size_t i = begin; i < end; ++i) scaled[i] = scale == 0 ? 0 : x[i] / scale;
  }
  number(q.scheme).nearest(scaled, codes);
}

}  // namespace

QuantizedTensor quantize_rtn_table(const Tensor& w, const QuantScheme& scheme,
                                   const RtnOptions& options, std::string_view name) {
  QuantizedTensor out;
  out.scheme = scheme;
  out.shape = w.shape();
  number(scheme).choose_scales(group_magnitudes(w, scheme), options, out);
  check_scales(out, name);
  const auto k = static_cast<size_t>(out.k());
  const int64_t row_bytes = packed_row_bytes(out.k(), scheme.bits());
  out.codes = Tensor(DType::u8, Shape{out.n(), row_bytes});
  const auto to = out.codes.mutable_data<uint8_t>();
  std::vector<float> scaled(k);
  std::vector<uint8_t> codes(k);
  for (int64_t r = 0; r < out.n(); ++r) {
    encode_row(w.data<float>().subspan(static_cast<size_t>(r) * k, k), r, out, scaled, codes);
    pack_codes(codes, scheme.bits(),
               to.subspan(static_cast<size_t>(r * row_bytes), static_cast<size_t>(row_bytes)));
  }
  return out;
}

}  // namespace nibble
