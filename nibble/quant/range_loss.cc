#include "nibble/quant/range_loss.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "nibble/core/counted.h"
#include "nibble/core/finite.h"
#include "nibble/core/float_formats.h"
#include "nibble/quant/nested_scales.h"
#include "nibble/quant/number.h"

namespace nibble {
namespace {

// Of f16 and bf16, without sign: below it a number has three digits at most, and in the end none.
constexpr uint16_t kFewDigits = 8;
// Of E4M3: its smallest value, taken for all that is smaller.
constexpr int kSmallestE4m3 = 1;
// The map of nested scales has steps of 0.014 of the largest where scales far below the mean lie.
constexpr float kNestedStep = 0.014f;

uint16_t magnitude_bits(const Tensor& t, int64_t i) {
  return reinterpret_cast<const uint16_t*>(t.raw())[i] & 0x7FFF;
}

bool is_half(DType dtype) { return dtype == DType::f16 || dtype == DType::bf16; }

int64_t count_few_digits(const Tensor& scales) {
  int64_t count = 0;
  for (int64_t i = 0; i < scales.elements(); ++i) {
    const uint16_t bits = magnitude_bits(scales, i);
    count += bits > 0 && bits < kFewDigits ? 1 : 0;
  }
  return count;
}

int64_t count_smallest(const Tensor& scales) {
  return std::count_if(scales.raw(), scales.raw() + scales.elements(), [](std::byte b) {
    return (std::to_integer<int>(b) & 0x7F) == kSmallestE4m3;
  });
}

bool looks_lost(const QuantizedTensor& q, int64_t i) {
  const auto largest = q.super_scales->data<float>()[static_cast<size_t>(i / kNestedBlock)];
  return q.scale(i) < 1.5f * kNestedStep * largest;
}

// Nested scales that are not even half or more than twice what they stand for.
int64_t count_far_off(const QuantizedTensor& q, const OriginalWeight& original) {
  int64_t i = 0, count = 0;
  const int64_t all = q.scales.elements();
  while (i < all && !looks_lost(q, i)) ++i;
  if (i == all) return 0;
  const Tensor w = convert(original(), DType::f32);
  const int64_t group = q.scheme.group_size(q.k()), groups = all / q.n();
  for (i = 0; i < all; ++i) {
    const int64_t begin = i % groups * group, end = std::min(begin + group, q.k());
    const float magnitude = largest_magnitude(w.data<float>().subspan(
        static_cast<size_t>(i / groups * q.k() + begin), static_cast<size_t>(end - begin)));
    const float scale = q.scale(i);
    count += magnitude > 0 && !(scale > magnitude / 2 && scale < 2 * magnitude) ? 1 : 0;
  }
  return count;
}

std::string words(int64_t count, const Tensor& scales, std::string_view why,
                  std::string_view way_out) {
  if (count == 0) return "";
  return fmt::format(
      "{} of {} lost: weights so small that {} come out as 0 or with an error of their own size; "
      "{}",
      count, counted(scales.elements(), "group"), why, way_out);
}

// Whether anything but zeros stands in the row.
bool has_weights(const Tensor& w, int64_t row, int64_t k) {
  const auto x = w.data<float>().subspan(static_cast<size_t>(row * k), static_cast<size_t>(k));
  return largest_magnitude(x) > 0;
}

bool keeps_digits(const Tensor& stored, int64_t row, int64_t k) {
  for (int64_t i = row * k; i < (row + 1) * k; ++i) {
    if (magnitude_bits(stored, i) >= kFewDigits) return true;
  }
  return false;
}

}  // namespace

std::string range_loss(const QuantizedTensor& q, const OriginalWeight& original) {
  if (number(q.scheme).scales->super == SuperScale::tensor)
    return words(count_smallest(q.scales), q.scales,
                 "their scale in fp8, beside that of the tensor (q, k and v share it, as gate and "
                 "up do), has no digits left",
                 "`set` 'NAME=SCHEME' with another scheme keeps them");
  if (number(q.scheme).kind == NumberKind::blocks) return "";
  if (q.super_scales)
    return words(count_far_off(q, original), q.scales,
                 "their scale, which 256 groups store in a byte each, is lost beside larger ones",
                 "`scale_dtype` f32 keeps them");
  if (!is_half(q.scales.dtype())) return "";
  return words(count_few_digits(q.scales), q.scales,
               fmt::format("their scale in {} has no digits left", to_string(q.scales.dtype())),
               q.scales.dtype() == DType::f16 ? "`scale_dtype` bf16 or f32 keeps them"
                                              : "`scale_dtype` f32 keeps them");
}

std::string range_loss(const Tensor& stored, const OriginalWeight& original) {
  if (!is_half(stored.dtype()) || stored.elements() == 0) return "";
  const int64_t k = stored.shape().rank() == 2 ? stored.shape()[1] : stored.elements();
  const int64_t rows = stored.elements() / k;
  std::vector<int64_t> small;
  for (int64_t r = 0; r < rows; ++r) {
    if (!keeps_digits(stored, r, k)) small.push_back(r);
  }
  if (small.empty()) return "";
  const Tensor before = original();
  if (before.dtype() == stored.dtype()) return "";
  const Tensor w = convert(before, DType::f32);
  const auto lost =
      std::count_if(small.begin(), small.end(), [&](int64_t r) { return has_weights(w, r, k); });
  if (lost == 0) return "";
  return fmt::format("{} of {} lost: {} has no digits left for weights so small; {} keeps them",
                     lost, counted(rows, "row"), to_string(stored.dtype()),
                     stored.dtype() == DType::f16 ? "bf16 or f32" : "f32");
}

}  // namespace nibble
