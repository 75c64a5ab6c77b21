#include "nibble/train/fake_quantizer.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/quant/grid.h"
#include "nibble/quant/method.h"
#include "nibble/quant/number.h"
#include "nibble/quant/scale.h"
#include "nibble/train/fake_scales.h"

namespace nibble {
namespace {

// Round half to even for |v| < 2^22, as EncodeOps have it.
float to_even(float v) { return (v + 0x1.8p23f) - 0x1.8p23f; }

float level_of(float w, float scale, float low, float high) {
  const float v = scale == 0 ? 0 : w / scale;
  return to_even(v < low ? low : (v > high ? high : v));
}

}  // namespace

FakeQuantizer::FakeQuantizer(const QuantScheme& scheme, const Shape& shape, DType scale_dtype,
                             bool steady_grid)
    : scale_dtype_(scale_dtype), steady_grid_(steady_grid) {
  now_.scheme = storable_scheme(scheme, shape[1]);
  now_.shape = shape;
  const NumberTraits& type = number(now_.scheme);
  learns_ = type.kind != NumberKind::blocks;
  if (type.table != nullptr) {
    table_ = type.table();
    largest_ = largest_value(type);
  }
  group_ = now_.scheme.group_size(shape[1]);
  groups_ =
      now_.scheme.granularity == Granularity::tensor ? 1 : shape[0] * ceil_div(shape[1], group_);
}

int64_t FakeQuantizer::learnt() const {
  if (!learns_) return 0;
  return now_.scheme.asymmetric ? 2 * groups_ : groups_;
}

void FakeQuantizer::read_scales() {
  const auto count = static_cast<size_t>(groups_);
  scale_.resize(count);
  offset_.assign(count, 0);
  zero_.assign(count, 0);
  for (size_t i = 0; i < count; ++i) {
    const auto at = static_cast<int64_t>(i);
    scale_[i] = now_.scale(at);
    if (now_.offsets) offset_[i] = now_.offset(at);
    if (now_.zeros) zero_[i] = now_.zeros->data<uint8_t>()[i];
  }
}

void FakeQuantizer::settle(const QuantizedTensor& start) {
  NIBBLE_CHECK(start.shape == now_.shape && start.scheme.type == now_.scheme.type);
  const QuantScheme scheme = now_.scheme;
  now_ = start;
  now_.scheme = scheme;
  now_.codes = Tensor();
  read_scales();
  state_ = learns_ ? scale_ : scales_as_numbers(now_);
  if (now_.zeros) state_.insert(state_.end(), zero_.begin(), zero_.end());
}

int64_t FakeQuantizer::state_size() const { return learns_ ? learnt() : count_numbers(now_); }

void FakeQuantizer::adopt(std::span<const float> state) {
  state_.assign(state.begin(), state.end());
  if (learns_) return;  // follow() makes the rest
  numbers_as_scales(state_, scale_dtype_, now_);
  read_scales();
}

void FakeQuantizer::follow(const float* learnt) {
  if (!learns_) return;
  const auto count = static_cast<size_t>(groups_);
  std::vector<float> wanted(count);
  for (size_t i = 0; i < count; ++i) wanted[i] = state_[i] * std::exp(learnt[i]);
  choose_scales(wanted, scale_dtype_, now_);
  if (now_.scheme.asymmetric) {
    const float codes = static_cast<float>(1 << now_.scheme.bits());
    now_.zeros = Tensor(DType::u8, now_.scales.shape());
    for (size_t i = 0; i < count; ++i) {
      const float zero = to_even(state_[count + i] + codes * learnt[count + i]);
      now_.zeros->mutable_data<uint8_t>()[i] =
          static_cast<uint8_t>(std::clamp(zero, 0.0f, codes - 1));
    }
  }
  read_scales();
}

FakeQuantizer::Group FakeQuantizer::group_of(int64_t index) const {
  const auto i = static_cast<size_t>(index);
  const NumberTraits& type = number(now_.scheme);
  const float half = static_cast<float>(1 << (type.bits - 1)), last = 2 * half - 1;
  Group g{scale_[i], offset_[i], -half, half - 1, steady_grid_ && learns_ ? state_[i] : scale_[i]};
  if (type.kind == NumberKind::levels)
    g.low = static_cast<float>(type.low), g.high = static_cast<float>(type.high);
  if (now_.offsets) g.low = 0, g.high = last;
  if (now_.zeros) g.low = -zero_[i], g.high = last - zero_[i];
  if (!table_.empty()) g.low = -largest_, g.high = largest_;
  return g;
}

// f(group's index, group, its first element, its elements).
template <class F>
void FakeQuantizer::for_each_group(F f) const {
  const int64_t n = now_.n(), k = now_.k();
  const bool shared = now_.scheme.granularity == Granularity::tensor;
  int64_t index = 0;
  for (int64_t row = 0; row < n; ++row) {
    for (int64_t at = 0; at < k; at += group_) {
      const int64_t i = shared ? 0 : index++;
      f(i, group_of(i), row * k + at, std::min(group_, k - at));
    }
  }
}

void FakeQuantizer::round_group(const Group& g, std::span<const float> w, float* out) const {
  if (table_.empty()) {
    for (size_t i = 0; i < w.size(); ++i)
      out[i] = level_of(w[i] - g.offset, g.grid, g.low, g.high) * g.scale + g.offset;
    return;
  }
  constexpr size_t kTogether = 256;
  float scaled[kTogether];
  uint8_t codes[kTogether];
  for (size_t at = 0; at < w.size(); at += kTogether) {
    const size_t count = std::min(kTogether, w.size() - at);
    for (size_t i = 0; i < count; ++i)
      scaled[i] = g.grid == 0 ? 0 : (w[at + i] - g.offset) / g.grid;
    number(now_.scheme).nearest(std::span(scaled, count), std::span(codes, count));
    for (size_t i = 0; i < count; ++i) out[at + i] = table_[codes[i]] * g.scale + g.offset;
  }
}

void FakeQuantizer::make(const float* w, float* out) const {
  for_each_group([&](int64_t, const Group& g, int64_t first, int64_t count) {
    round_group(g, std::span(w + first, static_cast<size_t>(count)), out + first);
  });
}

void FakeQuantizer::pull_back(const float* w, float* g, float* dlearnt) const {
  std::vector<float> made(static_cast<size_t>(group_));
  std::fill_n(dlearnt, learnt(), 0.0f);
  const float codes = static_cast<float>(1 << now_.scheme.bits());
  // A weight that is rounded to an end of the grid is inside while it is within half a step of it.
  const float slack = table_.empty() ? 0.5f : 0.0f;
  for_each_group([&](int64_t index, const Group& of, int64_t first, int64_t count) {
    round_group(of, std::span(w + first, static_cast<size_t>(count)), made.data());
    double by_scale = 0, by_zero = 0;
    const float a = of.grid * (of.low - slack), b = of.grid * (of.high + slack);
    const float low = std::min(a, b), high = std::max(a, b);
    for (int64_t i = 0; i < count; ++i) {
      const float x = w[first + i] - of.offset, y = made[static_cast<size_t>(i)];
      float& slope = g[first + i];
      const bool inside = x >= low && x <= high;
      by_scale += double{slope} * double{inside && !steady_grid_ ? y - w[first + i] : y};
      by_zero -= inside ? 0.0 : double{slope} * double{of.scale};
      slope = inside ? slope : 0;
    }
    if (!learns_) return;
    dlearnt[index] += static_cast<float>(by_scale);
    if (now_.scheme.asymmetric) dlearnt[groups_ + index] += static_cast<float>(by_zero) * codes;
  });
}

uint8_t FakeQuantizer::code_of(int64_t index, float level) const {
  const float half = static_cast<float>(1 << (now_.scheme.bits() - 1));
  const auto i = static_cast<size_t>(index);
  const float zero = now_.offsets ? 0 : now_.zeros ? zero_[i] : half;
  return static_cast<uint8_t>(level + zero);
}

QuantizedTensor FakeQuantizer::pack(const float* w) const {
  QuantizedTensor out = now_;
  const auto k = static_cast<size_t>(now_.k());
  const int64_t row_bytes = packed_row_bytes(now_.k(), now_.scheme.bits());
  out.codes = Tensor(DType::u8, Shape{now_.n(), row_bytes});
  std::vector<uint8_t> codes(k * static_cast<size_t>(now_.n()));
  std::vector<float> scaled(static_cast<size_t>(group_));
  for_each_group([&](int64_t index, const Group& g, int64_t first, int64_t count) {
    const auto to =
        std::span(codes).subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    for (size_t i = 0; i < to.size(); ++i) {
      const float x = w[first + static_cast<int64_t>(i)] - g.offset;
      if (table_.empty())
        to[i] = code_of(index, level_of(x, g.grid, g.low, g.high));
      else
        scaled[i] = g.grid == 0 ? 0 : x / g.grid;
    }
    if (!table_.empty()) number(now_.scheme).nearest(std::span(scaled).first(to.size()), to);
  });
  for (int64_t r = 0; r < now_.n(); ++r)
    pack_codes(std::span(codes).subspan(static_cast<size_t>(r) * k, k), now_.scheme.bits(),
               out.codes.mutable_data<uint8_t>().subspan(static_cast<size_t>(r * row_bytes),
                                                         static_cast<size_t>(row_bytes)));
  return out;
}

QuantizedTensor first_guess(const Tensor& w, const QuantScheme& scheme, DType scale_dtype,
                            std::string_view name, int threads) {
  MethodOptions options;
  options.scale_dtype = scale_dtype;
  const NumberKind kind = number(storable_scheme(scheme, w.shape()[1])).kind;
  options.clip = kind == NumberKind::integers || kind == NumberKind::levels;
  return method("rtn").quantize({w, scheme, options, name, nullptr, threads, nullptr}).weight;
}

}  // namespace nibble
