#include "nibble/nn/input_reading.h"

#include <algorithm>

#include "nibble/core/checked.h"
#include "nibble/core/error.h"
#include "nibble/kernels/kernels.h"
#include "nibble/quant/static_activations.h"

namespace nibble {
namespace {

int64_t sums_bytes(int64_t m, int64_t k, int64_t group) {
  return whole_lines(m * ceil_div(k, group) * int64_t{sizeof(int32_t)});
}

}  // namespace

InputReading::Parts::Parts(const InputReading& r, int64_t rows_of_x) : m(rows_of_x) {
  if (r.coding_) {
    row_scales = whole_lines(m * r.code_stride_);
    counts = row_scales + whole_lines(m * int64_t{sizeof(float)});
    sums = counts + (r.coding_->spares_outliers() ? whole_lines(m * int64_t{sizeof(int32_t)}) : 0);
    narrow = sums;
    for (const int64_t group : r.sum_groups_) narrow += sums_bytes(m, r.k_, group);
  }
  rows = narrow + (r.bf16_ ? whole_lines(m * r.k_ * int64_t{sizeof(uint16_t)}) : 0);
  bytes = rows + (r.copies() ? whole_lines(m * r.k_ * int64_t{sizeof(float)}) : 0);
}

InputReading::InputReading(const PackedWeight& first)
    : k_(first.view().traits.k),
      code_stride_(ceil_div(k_, kCodePadding) * kCodePadding),
      order_(first.input_order()),
      fp8_(first.rounds_to_fp8()),
      ops_(&best_layer_ops()) {}

bool InputReading::fits(const PackedWeight& w) const {
  return fp8_ == w.rounds_to_fp8() && std::ranges::equal(order_, w.input_order());
}

void InputReading::add(const PackedWeight& w) {
  bf16_ = bf16_ || w.reads_bf16();
  if (!w.traits().a8) return;
  if (coding_ && coding_ != w.coding()) {
    throw unsupported(
        "its inputs are rounded otherwise than those of the weights that read the same ones: give "
        "them one scheme of activations")
        .at("tensor " + in_quotes(w.name()));
  }
  coding_ = w.coding();
  quantize_ = &choose_quantize_rows();
  const int64_t group = w.traits().group;
  if (std::find(sum_groups_.begin(), sum_groups_.end(), group) == sum_groups_.end())
    sum_groups_.push_back(group);
}

int64_t InputReading::scratch_floats() const { return coding_ ? coding_->scratch_floats(k_) : 0; }

void InputReading::copy(const float* x, int64_t rows, float* to) const {
  const auto k = static_cast<size_t>(k_);
  for (int64_t r = 0; r < rows; ++r, x += k_, to += k_) {
    if (order_.empty())
      std::copy_n(x, k, to);
    else
      for (size_t i = 0; i < k; ++i) to[i] = x[order_[i]];
    if (fp8_) round_row_fp8({to, k});
  }
}

void InputReading::encode(const float* x, int64_t rows, const Parts& p, int64_t begin,
                          std::byte* at, float* scratch) const {
  auto* codes = reinterpret_cast<int8_t*>(at) + begin * code_stride_;
  coding_->quantize(*quantize_, x, rows, k_, codes, code_stride_,
                    reinterpret_cast<float*>(at + p.row_scales) + begin,
                    reinterpret_cast<int32_t*>(at + p.counts) + begin, scratch);
  std::byte* sums = at + p.sums;
  for (const int64_t group : sum_groups_) {
    const int64_t groups = ceil_div(k_, group);
    for (int64_t r = 0; r < rows; ++r) {
      ops_->sum_codes(codes + r * code_stride_, k_, group,
                      reinterpret_cast<int32_t*>(sums) + (begin + r) * groups);
    }
    sums += sums_bytes(p.m, k_, group);
  }
}

void InputReading::prepare(const float* x, const Parts& p, int64_t begin, int64_t end,
                           std::byte* at, float* scratch) const {
  const int64_t count = end - begin;
  const float* from = x + begin * k_;
  if (copies()) {
    auto* to = reinterpret_cast<float*>(at + p.rows) + begin * k_;
    copy(from, count, to);
    from = to;
  }
  if (coding_) encode(from, count, p, begin, at, scratch);
  if (bf16_)
    ops_->to_bf16(from, count * k_, reinterpret_cast<uint16_t*>(at + p.narrow) + begin * k_);
}

GemmInput InputReading::input(const GemmTraits& traits, const float* x, const Parts& p, int64_t row,
                              int64_t count, std::byte* at) const {
  GemmInput in;
  in.m = count;
  in.x = rows(x, p, at) + row * k_;
  in.x_stride = k_;
  if (bf16_) in.narrow = reinterpret_cast<uint16_t*>(at + p.narrow) + row * k_;
  if (!traits.a8) return in;
  in.codes = reinterpret_cast<int8_t*>(at) + row * code_stride_;
  in.code_stride = code_stride_;
  in.row_scales = reinterpret_cast<const float*>(at + p.row_scales) + row;
  const std::byte* sums = at + p.sums;
  for (const int64_t group : sum_groups_) {
    if (group == traits.group) break;
    sums += sums_bytes(p.m, k_, group);
  }
  in.sums = reinterpret_cast<const int32_t*>(sums) + row * ceil_div(k_, traits.group);
  return in;
}

}  // namespace nibble
