#include "tests/kernels/product_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "nibble/core/checked.h"
#include "nibble/core/float_formats.h"
#include "nibble/kernels/layer.h"
#include "tests/kernels/noise.h"

namespace nibble {
namespace {

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
  for (int64_t i = 0; i < count; ++i) {
    const float s = (noise.real() + 1.5f) * 0.01f;
    c.wide_scales.push_back(s);
    c.narrow_scales.push_back(wanted.scale == ScaleType::f16 ? f32_to_f16(s) : f32_to_bf16(s));
    c.zeros.push_back(static_cast<uint8_t>(noise.next() & ((1u << t.bits) - 1)));
  }
  c.w.scale_type = wanted.scale;
  c.w.scales = wanted.scale == ScaleType::f32 ? static_cast<const void*>(c.wide_scales.data())
                                              : c.narrow_scales.data();
  c.w.zeros = wanted.asymmetric ? c.zeros.data() : nullptr;
  c.w.scale_stride = wanted.one_scale ? 0 : groups;
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

// What unpacking gives is what was packed, row by row and all at once.
void expect_unpacks(const Kernel& kernel, const Case& c, const GemmWeight& packed) {
  const GemmTraits& t = c.w.traits;
  const bool codes = t.weight == WeightType::codes;
  const int64_t groups = codes ? ceil_div(t.k, t.group) : 0;
  const size_t scale_size = c.w.scale_type == ScaleType::f32 ? 4 : 2;
  for (const int64_t step : {t.n, int64_t{1}}) {
    std::vector<uint8_t> data(c.data.size(), 0xEE), zeros(static_cast<size_t>(t.n * groups), 0xEE);
    std::vector<uint8_t> scales(zeros.size() * scale_size, 0xEE);
    for (int64_t j = 0; j < t.n; j += step) {
      kernel.unpack(packed, j, j + step,
                    {data.data() + j * c.w.row_bytes, c.w.row_bytes,
                     scales.data() + static_cast<size_t>(j * groups) * scale_size,
                     zeros.data() + j * groups, groups});
    }
    ASSERT_EQ(data, c.data) << kernel.name << " unpacks otherwise; " << c.label;
    const auto* stored = static_cast<const uint8_t*>(c.w.scales);
    for (int64_t i = 0; i < t.n * groups; ++i) {
      const int64_t from = c.w.scale_stride == 0 ? 0 : i;
      ASSERT_EQ(std::memcmp(scales.data() + static_cast<size_t>(i) * scale_size,
                            stored + static_cast<size_t>(from) * scale_size, scale_size),
                0)
          << kernel.name << " " << c.label;
      if (c.w.zeros == nullptr) continue;
      ASSERT_EQ(zeros[static_cast<size_t>(i)], c.w.zeros[from]) << kernel.name << " " << c.label;
    }
  }
}

}  // namespace

std::unique_ptr<Case> make_case(const Wanted& wanted, int64_t m) {
  auto c = std::make_unique<Case>();
  Noise noise(static_cast<uint64_t>(wanted.traits.n * 1009 + wanted.traits.k * 31 + m));
  c->w.traits = wanted.traits;
  wanted.traits.weight == WeightType::codes ? fill_codes(*c, wanted, noise)
                                            : fill_floats(*c, noise);
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
             std::to_string(static_cast<int>(wanted.fill));
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
