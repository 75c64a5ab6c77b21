#include "tests/kernels/product_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "nibble/core/checked.h"
#include "nibble/core/float_formats.h"
#include "nibble/kernels/layer.h"
#include "tests/kernels/noise.h"

namespace nibble {
namespace {

// One more than there are blocks.
int64_t super_stride(const GemmTraits& t) { return ceil_div(t.k, kSuperBlock) + 1; }

int code_of(Fill fill, int bits, Noise& noise, int64_t i) {
  const int top = (1 << bits) - 1;
  if (fill == Fill::lowest) return 0;
  if (fill == Fill::highest) return top;
  if (fill == Fill::alternating) return i % 2 == 0 ? 0 : top;
  return static_cast<int>(noise.next()) & top;
}

void fill_floats(Case& c, Noise& noise) {
  const GemmTraits& t = c.w.traits;
  const int64_t size = t.weight == WeightType::f32 ? 4 : 2;
  c.w.row_bytes = t.k * size;
  c.data.resize(static_cast<size_t>(t.n * c.w.row_bytes));
  for (int64_t i = 0; i < t.n * t.k; ++i) {
    const float v = noise.real();
    const uint16_t narrow = t.weight == WeightType::f16 ? f32_to_f16(v) : f32_to_bf16(v);
    const void* from = t.weight == WeightType::f32 ? static_cast<const void*>(&v) : &narrow;
    std::memcpy(c.data.data() + i * size, from, static_cast<size_t>(size));
  }
}

int8_t scale_byte(Fill fill, Noise& noise, int64_t i) {
  if (fill == Fill::noise) return static_cast<int8_t>(noise.next() % 256 - 128);
  return fill == Fill::lowest || (fill == Fill::alternating && i % 2 == 0) ? -128 : 127;
}

// Of both signs, zero, subnormal and large ones among them. Those between the rows must not be
// read.
float super_scale(Noise& noise, int64_t i, bool between) {
  constexpr float kOdd[] = {0, -0.0f, 1e-41f, -3e15f};
  if (between) return std::numeric_limits<float>::quiet_NaN();
  return i % 5 == 0 ? kOdd[i / 5 % 4] : noise.real() * 0.01f;
}

void fill_scales(StoredScales& s, const Wanted& wanted, int64_t count, float middle, Noise& noise) {
  for (int64_t i = 0; i < count; ++i) {
    const float v = (noise.real() + middle) * 0.01f;
    s.wide.push_back(v);
    s.narrow.push_back(wanted.scale == ScaleType::f16 ? f32_to_f16(v) : f32_to_bf16(v));
    s.bytes.push_back(scale_byte(wanted.fill, noise, i));
  }
  const int64_t stride = super_stride(wanted.traits);
  for (int64_t i = 0; i < wanted.traits.n * stride; ++i)
    s.supers.push_back(super_scale(noise, i, i % stride == stride - 1));
}

void fill_codes(Case& c, const Wanted& wanted, Noise& noise) {
  const GemmTraits& t = c.w.traits;
  c.w.row_bytes = ceil_div(t.k * t.bits, 32) * 4;
  c.data.assign(static_cast<size_t>(t.n * c.w.row_bytes), 0);
  for (int64_t j = 0; j < t.n; ++j) {
    for (int64_t i = 0; i < t.k; ++i) {
      const int code = code_of(wanted.fill, t.bits, noise, i);
      for (int b = 0; b < t.bits; ++b) {
        const int64_t bit = i * t.bits + b;
        c.data[static_cast<size_t>(j * c.w.row_bytes + bit / 8)] |=
            static_cast<uint8_t>(((code >> b) & 1) << (bit % 8));
      }
    }
  }
  const int64_t groups = ceil_div(t.k, t.group), count = wanted.one_scale ? 1 : t.n * groups;
  fill_scales(c.scales, wanted, count, 1.5f, noise);
  fill_scales(c.offsets, wanted, count, 0, noise);
  for (int64_t i = 0; i < count; ++i)
    c.zeros.push_back(static_cast<uint8_t>(noise.next() & ((1u << t.bits) - 1)));
  c.w.scale_type = wanted.scale;
  c.w.scales = c.scales.of(wanted.scale);
  c.w.offsets = wanted.with_offsets ? c.offsets.of(wanted.scale) : nullptr;
  c.w.zeros = wanted.asymmetric ? c.zeros.data() : nullptr;
  c.w.scale_stride = wanted.one_scale ? 0 : groups;
  for (int i = 0; i < 16; ++i) c.table.push_back(noise.real());
  c.w.table = c.table.data();
  if (wanted.scale != ScaleType::blocks) return;
  c.w.block_scales = c.scales.supers.data();
  c.w.block_offsets = wanted.with_offsets ? c.offsets.supers.data() : nullptr;
  c.w.super_stride = super_stride(t);
}

void fill_rows(Case& c, const Wanted& wanted, int64_t m, Noise& noise) {
  const GemmTraits& t = c.w.traits;
  c.in.m = m;
  c.x.resize(static_cast<size_t>(m * t.k));
  for (float& v : c.x) v = noise.real();
  c.in.x = c.x.data();
  c.in.x_stride = t.k;
  if (!t.a8) return;
  c.in.code_stride = ceil_div(t.k, kCodePadding) * kCodePadding;
  c.codes.assign(static_cast<size_t>(m * c.in.code_stride), 0);
  for (int64_t r = 0; r < m; ++r) {
    c.row_scales.push_back((noise.real() + 1.5f) * 0.02f);
    for (int64_t i = 0; i < t.k; ++i) {
      const int limit = r % 2 == 0 ? 127 : -128;
      const int value =
          wanted.fill == Fill::noise ? static_cast<int>(noise.next() % 256) - 128 : limit;
      c.codes[static_cast<size_t>(r * c.in.code_stride + i)] = static_cast<int8_t>(value);
    }
  }
  c.sums.resize(static_cast<size_t>(m * ceil_div(t.k, t.group)));
  for (int64_t r = 0; r < m; ++r) {
    ref_layer_ops().sum_codes(c.codes.data() + r * c.in.code_stride, t.k, t.group,
                              c.sums.data() + r * ceil_div(t.k, t.group));
  }
  c.in.codes = c.codes.data();
  c.in.row_scales = c.row_scales.data();
  c.in.sums = c.sums.data();
}

int64_t scale_size(ScaleType type) {
  return type == ScaleType::f32 ? 4 : type == ScaleType::blocks ? 1 : 2;
}

// Where unpacking writes `count` elements a row.
class Unpacked {
 public:
  Unpacked(int64_t rows, int64_t count, int64_t size)
      : rows_(rows), count_(count), size_(size), bytes_(at(rows, count), kUntouched) {}
  uint8_t* row(int64_t j) { return bytes_.data() + at(j, count_); }
  // Whether they are those of `stored`; untouched where that is null.
  bool are(const void* stored, int64_t stride) const {
    if (stored == nullptr)
      return std::all_of(bytes_.begin(), bytes_.end(), [](uint8_t b) { return b == kUntouched; });
    for (int64_t j = 0; j < rows_; ++j) {
      const auto* row = static_cast<const uint8_t*>(stored) + at(j, stride);
      for (int64_t i = 0; i < count_; ++i) {
        const size_t from = stride == 0 ? 0 : at(i, 1);
        if (std::memcmp(bytes_.data() + at(j, count_) + at(i, 1), row + from, at(1, 1)) != 0)
          return false;
      }
    }
    return true;
  }

 private:
  static constexpr uint8_t kUntouched = 0xEE;
  size_t at(int64_t row, int64_t stride) const { return static_cast<size_t>(row * stride * size_); }
  int64_t rows_, count_, size_;
  std::vector<uint8_t> bytes_;
};

// What unpacking gives is what was packed, row by row and all at once.
void expect_unpacks(const Kernel& kernel, const Case& c, const GemmWeight& packed) {
  const GemmTraits& t = c.w.traits;
  const bool codes = t.weight == WeightType::codes || t.weight == WeightType::table;
  const int64_t groups = codes ? ceil_div(t.k, t.group) : 0;
  const int64_t blocks = c.w.super_stride == 0 ? 0 : ceil_div(t.k, kSuperBlock);
  const int64_t size = scale_size(c.w.scale_type), stride = c.w.scale_stride;
  for (const int64_t step : {t.n, int64_t{1}}) {
    std::vector<uint8_t> data(c.data.size(), 0xEE);
    Unpacked scales(t.n, groups, size), offsets(t.n, groups, size), zeros(t.n, groups, 1);
    Unpacked supers(t.n, blocks, 4), super_offsets(t.n, blocks, 4);
    for (int64_t j = 0; j < t.n; j += step) {
      GemmRows out{data.data() + j * c.w.row_bytes, c.w.row_bytes};
      out.scales = scales.row(j);
      out.offsets = offsets.row(j);
      out.zeros = zeros.row(j);
      out.scale_stride = groups;
      out.block_scales = reinterpret_cast<float*>(supers.row(j));
      out.block_offsets = reinterpret_cast<float*>(super_offsets.row(j));
      out.super_stride = blocks;
      kernel.unpack(packed, j, j + step, out);
    }
    ASSERT_EQ(data, c.data) << kernel.name << " unpacks otherwise; " << c.label;
    const bool same = scales.are(c.w.scales, stride) && offsets.are(c.w.offsets, stride) &&
                      zeros.are(c.w.zeros, stride) &&
                      supers.are(c.w.block_scales, c.w.super_stride) &&
                      super_offsets.are(c.w.block_offsets, c.w.super_stride);
    ASSERT_TRUE(same) << kernel.name << " unpacks scales otherwise; " << c.label;
  }
}

}  // namespace

const void* StoredScales::of(ScaleType type) const {
  if (type == ScaleType::f32) return wide.data();
  if (type == ScaleType::blocks) return bytes.data();
  return narrow.data();
}

const Kernel& reference_for(const GemmTraits& traits) {
  for (const Kernel* k : kernels()) {
    if (is_ref(*k) && k->accepts != nullptr && k->accepts(traits)) return *k;
  }
  throw std::logic_error("no reference kernel");
}

void compare(const Wanted& wanted, int64_t m, std::set<std::string>& ran) {
  const auto c = make_case(wanted, m);
  const auto expected = run_case(reference_for(wanted.traits), *c);
  for (const Kernel* kernel : kernels()) {
    if (kernel->accepts == nullptr || is_ref(*kernel) || !can_run(*kernel) ||
        !kernel->accepts(wanted.traits))
      continue;
    ran.insert(kernel->name);
    const auto got = run_case(*kernel, *c);
    ASSERT_EQ(std::memcmp(got.data(), expected.data(), got.size() * 4), 0)
        << kernel->name << " " << c->label;
  }
}

std::unique_ptr<Case> make_case(const Wanted& wanted, int64_t m) {
  auto c = std::make_unique<Case>();
  Noise noise(static_cast<uint64_t>(wanted.traits.n * 1009 + wanted.traits.k * 31 + m));
  c->w.traits = wanted.traits;
  wanted.traits.bits != 0 ? fill_codes(*c, wanted, noise) : fill_floats(*c, noise);
  c->w.data = c->data.data();
  fill_rows(*c, wanted, m, noise);
  if (wanted.with_bias) {
    for (int64_t j = 0; j < wanted.traits.n; ++j) c->bias.push_back(noise.real());
  } else {
    for (int64_t j = 0; j < wanted.traits.n * m; ++j) c->residual.push_back(noise.real());
  }
  c->label = "n " + std::to_string(wanted.traits.n) + " k " + std::to_string(wanted.traits.k) +
             " m " + std::to_string(m) + " bits " + std::to_string(wanted.traits.bits) + " group " +
             std::to_string(wanted.traits.group) + " fill " +
             std::to_string(static_cast<int>(wanted.fill)) + " scales " +
             std::to_string(static_cast<int>(wanted.scale)) +
             (wanted.with_offsets ? " and offsets" : "");
  return c;
}

std::vector<float> run_case(const Kernel& kernel, const Case& c) {
  GemmWeight w = c.w;
  std::unique_ptr<std::byte, decltype(&std::free)> packed(nullptr, &std::free);
  if (kernel.pack != nullptr) {
    const int64_t bytes = kernel.packed_bytes(w);
    packed.reset(static_cast<std::byte*>(
        std::aligned_alloc(64, static_cast<size_t>(ceil_div(bytes, 64) * 64))));
    for (int64_t n = 0; n < w.traits.n; n += kOutputSlice)
      kernel.pack(c.w, packed.get(), n, std::min(n + kOutputSlice, w.traits.n));
    w.data = packed.get();
    w.scales = nullptr;
    w.block_scales = w.block_offsets = nullptr;
    expect_unpacks(kernel, c, w);
  }
  const int64_t count = c.in.m * w.traits.n;
  Guarded y(count * 4);
  Guarded scratch(kernel.scratch_bytes == nullptr ? 0 : kernel.scratch_bytes(w.traits));
  std::copy(c.residual.begin(), c.residual.end(), reinterpret_cast<float*>(y.data()));
  const GemmOutput out{reinterpret_cast<float*>(y.data()), w.traits.n,
                       c.bias.empty() ? nullptr : c.bias.data(),
                       c.residual.empty() ? nullptr : reinterpret_cast<float*>(y.data())};
  for (int64_t n = 0; n < w.traits.n; n += kOutputSlice) {
    kernel.run(w, c.in, n, std::min(n + kOutputSlice, w.traits.n), out, scratch.data());
  }
  EXPECT_TRUE(y.intact() && scratch.intact()) << kernel.name << " wrote outside; " << c.label;
  std::vector<float> got(static_cast<size_t>(count));
  std::memcpy(got.data(), y.data(), got.size() * 4);
  return got;
}

}  // namespace nibble
