#include "nibble/quant/rtn.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/parallel.h"
#include "nibble/kernels/encode.h"
#include "nibble/quant/block_scales.h"
#include "nibble/quant/number.h"
#include "nibble/quant/rtn_table.h"
#include "nibble/quant/scale.h"

namespace nibble {
namespace {

using Grid = EncodeGrid;

// What a grid is chosen from: some weights, and the least and the largest of them and 0.
struct Weights {
  std::span<const float> x;
  float low = 0, high = 0;
  float largest() const { return std::max(-low, high); }
};

// Round half to even for |v| < 2^22: the sum has no fraction bits left.
float round_half_even(float v) { return (v + 0x1.8p23f) - 0x1.8p23f; }

Grid symmetric_grid(float unrounded, const RtnOptions& options, int bits, int low, int high) {
  Grid g;
  g.scale = round_scale(unrounded, options.scale_dtype);
  g.zero = 1 << (bits - 1);
  g.low = static_cast<float>(low);
  g.high = static_cast<float>(high);
  return g;
}

Grid asymmetric_grid(const Weights& w, const RtnOptions& options, int bits) {
  const float last = static_cast<float>((1 << bits) - 1);
  Grid g;
  g.scale = round_scale((w.high - w.low) / last, options.scale_dtype);
  const float zero = g.scale == 0 ? 0 : round_half_even(std::min(-w.low / g.scale, last));
  g.zero = static_cast<int>(zero);
  g.low = -zero;
  g.high = last - zero;
  return g;
}

// The range of an asymmetric scheme always holds 0, so that 0 has a code of its own.
Grid choose(const Weights& w, const QuantScheme& scheme, const RtnOptions& options) {
  const int bits = scheme.bits();
  if (scheme.asymmetric) return asymmetric_grid(w, options, bits);
  if (const NumberTraits& type = number(scheme); type.kind == NumberKind::levels)
    return symmetric_grid(type.best_scale(w.x), options, bits, type.low, type.high);
  const int half = 1 << (bits - 1);
  const float divisor = static_cast<float>(half) - (options.half_step_divisor ? 0.5f : 1.0f);
  return symmetric_grid(w.largest() / divisor, options, bits, -half, half - 1);
}

class Rtn {
 public:
  Rtn(const Tensor& w, const QuantScheme& scheme, const RtnOptions& options, std::string_view name)
      : w_(w), options_(options), name_(name) {
    const int64_t n = w.shape()[0], k = w.shape()[1];
    const bool one_scale = scheme.granularity == Granularity::tensor;
    const Shape scale_shape = one_scale ? Shape{1, 1} : Shape{n, ceil_div(k, scheme.group_size(k))};
    out_.scheme = scheme;
    out_.shape = w.shape();
    out_.codes = Tensor(DType::u8, {n, packed_row_bytes(k, scheme.bits())});
    out_.scales = Tensor(options.scale_dtype, scale_shape);
    if (scheme.asymmetric) out_.zeros = Tensor(DType::u8, scale_shape);
  }

  QuantizedTensor run() && {
    if (out_.scheme.granularity == Granularity::tensor) {
      std::vector<float> all(static_cast<size_t>(w_.elements()));
      to_f32(w_, all);
      all_ = grid_of(all, 0);
    }
    constexpr int64_t kRows = 64;  // of one piece of work
    const auto k = static_cast<size_t>(out_.k());
    parallel_for(ceil_div(out_.n(), kRows), options_.threads, [&](int64_t piece) {
      std::vector<uint8_t> codes(k);
      std::vector<float> values(k);
      for (int64_t r = piece * kRows; r < std::min((piece + 1) * kRows, out_.n()); ++r)
        encode_row(row(r, values), r, codes);
    });
    return std::move(out_);
  }

 private:
  // One row as f32: where it lies, or in `values`. A row at a time stays in cache.
  std::span<const float> row(int64_t r, std::vector<float>& values) const {
    const int64_t k = out_.k();
    if (w_.dtype() == DType::f32)
      return w_.data<float>().subspan(static_cast<size_t>(r * k), values.size());
    const auto* halves = reinterpret_cast<const uint16_t*>(w_.raw()) + r * k;
    if (w_.dtype() == DType::f16) {
      ops_.widen_f16(halves, k, values.data());
    } else {
      for (size_t i = 0; i < values.size(); ++i) values[i] = bf16_to_f32(halves[i]);
    }
    return values;
  }

  // Chooses the grid of the weights whose scale has `index`, and stores scale and zero point.
  Grid grid_of(std::span<const float> x, int64_t index) {
    Weights w{x};
    if (!ops_.extremes(x.data(), std::ssize(x), &w.low, &w.high)) refuse_nonfinite(w_, name_);
    const Grid g = choose(w, out_.scheme, options_);
    if (!std::isfinite(g.scale)) refuse_scale(w, index);
    put_scale(out_.scales, index, g.scale);
    if (out_.zeros)
      out_.zeros->mutable_data<uint8_t>()[static_cast<size_t>(index)] =
          static_cast<uint8_t>(g.zero);
    return g;
  }

  [[noreturn]] void refuse_scale(const Weights& w, int64_t index) const {
    refuse_nonfinite(w_, name_);  // which is the reason where there is such a weight anywhere
    throw corrupt(fmt::format("the scale of row {} group {} does not fit {} (largest weight {}); "
                              "store scales as bf16 or f32",
                              index / out_.scales.shape()[1], index % out_.scales.shape()[1],
                              to_string(options_.scale_dtype), w.largest()))
        .at("tensor " + in_quotes(name_));
  }

  void encode_row(std::span<const float> row, int64_t r, std::span<uint8_t> codes) {
    const bool one_scale = out_.scheme.granularity == Granularity::tensor;
    const auto group =
        one_scale ? row.size() : static_cast<size_t>(out_.scheme.group_size(out_.k()));
    int64_t index = one_scale ? 0 : r * out_.scales.shape()[1];
    for (size_t begin = 0; begin < row.size(); begin += group, ++index) {
      const auto x = row.subspan(begin, std::min(group, row.size() - begin));
      ops_.encode(x.data(), std::ssize(x), one_scale ? all_ : grid_of(x, index),
                  codes.data() + begin);
    }
    const auto bytes = static_cast<size_t>(out_.codes.shape()[1]);
    pack_codes(codes, out_.scheme.bits(),
               out_.codes.mutable_data<uint8_t>().subspan(static_cast<size_t>(r) * bytes, bytes));
  }

  const EncodeOps& ops_ = best_encode_ops();
  const Tensor& w_;
  RtnOptions options_;
  std::string_view name_;
  Grid all_;  // where one serves all rows
  QuantizedTensor out_;
};

void check_arguments(const Tensor& w, const QuantScheme& scheme, const RtnOptions& options,
                     std::string_view name) {
  if (w.shape().rank() != 2 || w.elements() == 0) {
    throw invalid_argument(fmt::format("shape {} cannot be quantized: expected [n, k] with at "
                                       "least one row and one column",
                                       w.shape().to_string()))
        .at("tensor " + in_quotes(name));
  }
  if (scheme.is_float()) {
    throw invalid_argument(
        fmt::format("{} is a plain float type: nothing is quantized", to_string(scheme)))
        .at("scheme");
  }
  require_makeable(scheme);
  if (!is_scale_dtype(options.scale_dtype)) {
    throw invalid_argument(fmt::format("scales cannot be stored as {}; use f16, bf16 or f32",
                                       to_string(options.scale_dtype)));
  }
}

QuantizedTensor quantize_rtn_blocks(const Tensor& w, const QuantScheme& scheme,
                                    const RtnOptions& options, std::string_view name) {
  refuse_nonfinite(w, name);
  const Tensor values = w.dtype() == DType::f32 ? w : convert(w, DType::f32);
  GridMatrix m(scheme, w.shape()[0], w.shape()[1], options.scale_dtype, "rtn");
  settle_blocks(m, values.data<float>(), {}, options.threads);
  m.require_finite_scales(name);
  return m.pack();
}

}  // namespace

QuantizedTensor quantize_rtn(const Tensor& w, const QuantScheme& scheme, const RtnOptions& options,
                             std::string_view name) {
  check_arguments(w, scheme, options, name);
  const QuantScheme storable = storable_scheme(scheme, w.shape()[1]);
  if (number(storable).kind == NumberKind::blocks)
    return quantize_rtn_blocks(w, storable, options, name);
  if (storable.has_codebook()) {
    refuse_nonfinite(w, name);
    const Tensor values = w.dtype() == DType::f32 ? w : convert(w, DType::f32);
    return quantize_rtn_table(values, storable, options, name);
  }
  const bool read_by_row =
      w.dtype() == DType::f32 || w.dtype() == DType::f16 || w.dtype() == DType::bf16;
  return Rtn(read_by_row ? w : convert(w, DType::f32), storable, options, name).run();
}

}  // namespace nibble
