// Every kernel of the list that this processor can run (as NIBBLE_ISA caps it) against the
// reference, on ragged shapes and with every code at its limits.
#include "nibble/kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "nibble/core/checked.h"
#include "nibble/core/cpu.h"
#include "nibble/core/float_formats.h"

namespace nibble {
namespace {

constexpr int64_t kExtents[] = {1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 63, 96, 127, 129, 192, 255};
constexpr int64_t kRowCounts[] = {1, 2, 3, 16, 17};
// Rows of x that need more than one block, and inputs that do.
constexpr int64_t kManyRows = 101, kManyInputs = 1100;
constexpr uint8_t kGuard = 0x5A;

class Noise {
 public:
  explicit Noise(uint64_t seed) : state_(seed * 2654435761u + 12345) {}
  uint32_t next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 33);
  }
  float real() { return static_cast<float>(static_cast<int>(next() >> 7) - (1 << 23)) / (1 << 23); }

 private:
  uint64_t state_;
};

// Bytes with guards on both sides, which no kernel may touch. Reads beyond the end are found by
// the sanitizer build: the bytes end where the block ends.
class Guarded {
 public:
  explicit Guarded(int64_t bytes) : data_(static_cast<size_t>(bytes) + 2 * kMargin, kGuard) {}
  uint8_t* data() { return data_.data() + kMargin; }
  bool intact() const {
    const auto is_guard = [](uint8_t b) { return b == kGuard; };
    return std::all_of(data_.begin(), data_.begin() + kMargin, is_guard) &&
           std::all_of(data_.end() - kMargin, data_.end(), is_guard);
  }

 private:
  static constexpr int kMargin = 64;
  std::vector<uint8_t> data_;
};

enum class Fill { noise, lowest, highest, alternating };

int code_of(Fill fill, int bits, Noise& noise, int64_t i) {
  const int top = (1 << bits) - 1;
  if (fill == Fill::lowest) return 0;
  if (fill == Fill::highest) return top;
  if (fill == Fill::alternating) return i % 2 == 0 ? 0 : top;
  return static_cast<int>(noise.next()) & top;
}

// A product with everything it needs in memory.
struct Case {
  GemmWeight w;
  GemmInput in;
  std::vector<float> bias, residual, x, row_scales, wide_scales;
  std::vector<uint16_t> narrow_scales;
  std::vector<uint8_t> data, zeros;
  std::vector<int8_t> codes;
  std::vector<int32_t> sums;
  std::string label;
};

struct Wanted {
  GemmTraits traits;
  ScaleType scale = ScaleType::f16;
  bool asymmetric = false, one_scale = false, with_bias = true;
  Fill fill = Fill::noise;
};

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
      const int limit = r % 2 == 0 ? 127 : -127;
      const int value =
          wanted.fill == Fill::noise ? static_cast<int>(noise.next() % 255) - 127 : limit;
      c.codes[static_cast<size_t>(r * c.in.code_stride + i)] = static_cast<int8_t>(value);
    }
  }
  c.sums.resize(static_cast<size_t>(m * ceil_div(t.k, t.group)));
  sum_codes(c.codes.data(), m, t.k, c.in.code_stride, t.group, c.sums.data());
  c.in.codes = c.codes.data();
  c.in.row_scales = c.row_scales.data();
  c.in.sums = c.sums.data();
}

std::unique_ptr<Case> make(const Wanted& wanted, int64_t m) {
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

std::vector<float> run(const Kernel& kernel, const Case& c) {
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

bool is_ref(const Kernel& k) { return k.isa == KernelIsa::ref; }

const Kernel& reference_for(const GemmTraits& traits) {
  for (const Kernel* k : kernels()) {
    if (is_ref(*k) && k->accepts != nullptr && k->accepts(traits)) return *k;
  }
  throw std::logic_error("no reference kernel");
}

// Runs every other kernel that accepts the product; all of them promise the reference's bytes.
void compare(const Wanted& wanted, int64_t m, std::set<std::string>& ran) {
  const auto c = make(wanted, m);
  const auto expected = run(reference_for(wanted.traits), *c);
  for (const Kernel* kernel : kernels()) {
    if (kernel->accepts == nullptr || is_ref(*kernel) || !can_run(*kernel) ||
        !kernel->accepts(wanted.traits))
      continue;
    ran.insert(kernel->name);
    const auto got = run(*kernel, *c);
    ASSERT_EQ(std::memcmp(got.data(), expected.data(), got.size() * 4), 0)
        << kernel->name << " " << c->label;
  }
}

void print_ran(const std::set<std::string>& ran) {
  std::string line = "kernels that ran at " + std::string(cpu().isa) + ":";
  for (const std::string& name : ran) line += " " + name;
  if (ran.empty()) line += " the reference only";
  std::printf("%s\n", line.c_str());
}

// What every kernel beside the reference must have been seen to do under this cap.
void expect_all_ran(const std::set<std::string>& ran, bool (*of_kind)(const std::string&)) {
  for (const Kernel* k : kernels()) {
    if (k->accepts == nullptr || is_ref(*k) || !can_run(*k) || !of_kind(k->name)) continue;
    EXPECT_TRUE(ran.count(k->name) == 1) << k->name << " was never run";
  }
}

bool is_integer(const std::string& name) {
  return name.starts_with("gemm_i") || name.starts_with("gemm_narrow_a8");
}
// Those of tables and 8-bit floats have tests of their own (table_kernels_test.cc).
bool is_table(const std::string& name) {
  return name.starts_with("gemm_table") || name.starts_with("gemm_e");
}
bool is_float(const std::string& name) { return !is_integer(name) && !is_table(name); }

TEST(Kernels, FloatProductsAreTheReferencesBytesOnRaggedShapes) {
  std::set<std::string> ran;
  for (const int64_t n : kExtents) {
    for (const int64_t k : kExtents) {
      for (const int64_t m : kRowCounts) {
        for (const WeightType type : {WeightType::f32, WeightType::f16, WeightType::bf16}) {
          Wanted w;
          w.traits = {.n = n, .k = k, .weight = type, .bits = 0, .group = k, .a8 = false};
          w.with_bias = (n + k) % 2 == 0;
          compare(w, m, ran);
        }
        for (const int bits : {8, 4, 3, 2 + static_cast<int>(n % 6)}) {
          Wanted w;
          w.traits = {.n = n,
                      .k = k,
                      .weight = WeightType::codes,
                      .bits = bits,
                      .group = k % 3 == 0 ? k / 3 : k,
                      .a8 = false};
          w.asymmetric = n % 2 == 0;
          w.one_scale = w.traits.group == k && k % 5 == 0;
          w.scale = static_cast<ScaleType>((n + k + m) % 3);
          compare(w, m, ran);
        }
      }
    }
  }
  for (const int bits : {0, 4}) {
    Wanted w;
    w.traits = {.n = 65, .k = kManyInputs, .weight = WeightType::f32, .bits = bits};
    w.traits.group = bits == 0 ? kManyInputs : 100;
    if (bits != 0) w.traits.weight = WeightType::codes;
    compare(w, kManyRows, ran);
  }
  print_ran(ran);
  expect_all_ran(ran, is_float);
}

TEST(Kernels, IntegerProductsAreTheReferencesBytesOnRaggedShapes) {
  std::set<std::string> ran;
  for (const int64_t n : kExtents) {
    for (const int64_t k : kExtents) {
      for (const int64_t m : kRowCounts) {
        for (int bits = 2; bits <= 8; ++bits) {
          Wanted w;
          w.traits = {.n = n,
                      .k = k,
                      .weight = WeightType::codes,
                      .bits = bits,
                      .group = k % 3 == 0 ? k / 3 : k,
                      .a8 = true};
          w.asymmetric = (n + bits) % 2 == 0;
          w.one_scale = w.traits.group == k && k % 5 == 0;
          w.scale = static_cast<ScaleType>((n + k + m) % 3);
          w.with_bias = (n + k) % 2 == 0;
          compare(w, m, ran);
        }
      }
    }
  }
  print_ran(ran);
  expect_all_ran(ran, is_integer);
}

// Every code at its limits with every x at +-127 is where saturating instructions go wrong.
TEST(Kernels, ExtremeCodesAndLongRowsAreExact) {
  std::set<std::string> ran;
  for (const Fill fill : {Fill::lowest, Fill::highest, Fill::alternating}) {
    for (const int64_t k : {64, 4096, 65536}) {
      for (const int64_t group : {int64_t{16}, int64_t{32}, int64_t{128}, k}) {
        for (const int bits : {8, 7, 4, 2}) {
          for (const bool asymmetric : {false, true}) {
            Wanted w;
            w.traits = {.n = 5,
                        .k = k,
                        .weight = WeightType::codes,
                        .bits = bits,
                        .group = std::min(group, k),
                        .a8 = true};
            w.asymmetric = asymmetric;
            w.fill = fill;
            compare(w, 3, ran);
          }
        }
      }
    }
  }
  expect_all_ran(ran, is_integer);
}

// Rows too long for 32-bit sums must go to a kernel that counts further.
TEST(Kernels, RowsBeyond32BitSumsAreStillExact) {
  Wanted w;
  w.traits = {
      .n = 1, .k = 70000, .weight = WeightType::codes, .bits = 8, .group = 70000, .a8 = true};
  w.fill = Fill::highest;
  w.with_bias = false;
  const auto c = make(w, 1);
  c->residual.clear();
  const auto y = run(choose_gemm(w.traits), *c);
  const float scale = f16_to_f32(c->narrow_scales[0]);
  EXPECT_EQ(y[0], static_cast<float>(int64_t{70000} * 127 * 127) * scale * c->row_scales[0]);
}

// The reference itself against f64, within the bound of the harness.
TEST(Kernels, TheReferenceIsWithinItsBoundOfF64) {
  for (const int64_t k : {1, 17, 255, 4096}) {
    Wanted w;
    w.traits = {.n = 7, .k = k, .weight = WeightType::f32, .bits = 0, .group = k, .a8 = false};
    const auto c = make(w, 2);
    const auto y = run(reference_for(w.traits), *c);
    const auto* weights = reinterpret_cast<const float*>(c->data.data());
    for (int64_t r = 0; r < 2; ++r) {
      for (int64_t j = 0; j < 7; ++j) {
        double sum = c->bias[static_cast<size_t>(j)];
        for (int64_t i = 0; i < k; ++i)
          sum += static_cast<double>(c->x[static_cast<size_t>(r * k + i)]) * weights[j * k + i];
        EXPECT_NEAR(y[static_cast<size_t>(r * 7 + j)], sum,
                    std::numeric_limits<float>::epsilon() * static_cast<double>(k + 1));
      }
    }
  }
}

std::vector<float> hard_row(int64_t k, int kind) {
  Noise noise(static_cast<uint64_t>(k * 7 + kind));
  std::vector<float> x(static_cast<size_t>(k));
  for (float& v : x) v = noise.real();
  const auto at = static_cast<size_t>(noise.next()) % x.size();
  if (kind == 1) std::fill(x.begin(), x.end(), -0.0f);
  if (kind == 2) x[at] = std::numeric_limits<float>::quiet_NaN();
  if (kind == 3) x[at] = -std::numeric_limits<float>::infinity();
  if (kind == 4) x[at] = 3e38f;
  if (kind == 5) {
    for (float& v : x) v *= 1e-38f;
  }
  if (kind == 6) {
    for (float& v : x) v *= 1e-43f;
  }
  if (kind == 7) {  // ties: halves of the step, which is 1
    for (float& v : x) v = std::nearbyint(v * 253) / 2;
    x[at] = 127;
  }
  return x;
}

TEST(Kernels, RowsAreQuantizedToTheReferencesBytes) {
  const Kernel* reference = nullptr;
  for (const Kernel* k : kernels()) {
    if (k->quantize_rows != nullptr && is_ref(*k)) reference = k;
  }
  ASSERT_NE(reference, nullptr);
  for (const Kernel* kernel : kernels()) {
    if (kernel->quantize_rows == nullptr || !can_run(*kernel)) continue;
    for (const int64_t k : kExtents) {
      const int64_t stride = ceil_div(k, kCodePadding) * kCodePadding;
      std::vector<float> x;
      for (int kind = 0; kind < 8; ++kind) {
        const auto row = hard_row(k, kind);
        x.insert(x.end(), row.begin(), row.end());
      }
      std::vector<int8_t> expected(static_cast<size_t>(8 * stride), 99);
      std::vector<float> scales(8), got_scales(8);
      reference->quantize_rows(x.data(), 8, k, k, expected.data(), stride, scales.data());
      Guarded got(8 * stride);
      kernel->quantize_rows(x.data(), 8, k, k, reinterpret_cast<int8_t*>(got.data()), stride,
                            got_scales.data());
      EXPECT_EQ(std::memcmp(got.data(), expected.data(), expected.size()), 0)
          << kernel->name << " k " << k;
      EXPECT_EQ(std::memcmp(scales.data(), got_scales.data(), 32), 0) << kernel->name;
      EXPECT_TRUE(got.intact()) << kernel->name;
      EXPECT_TRUE(std::isnan(scales[2]) && std::isinf(scales[3]) && scales[1] == 0);
    }
  }
}

TEST(Kernels, TiesOfRowsGoToEven) {
  const std::vector<float> x{127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -126.5f};
  std::vector<int8_t> codes(64, 1);
  float scale = 0;
  choose_quantize_rows().quantize_rows(x.data(), 1, 7, 7, codes.data(), 64, &scale);
  EXPECT_EQ(scale, 1.0f);
  codes.resize(8);
  EXPECT_EQ(codes, (std::vector<int8_t>{127, 0, 2, 2, 0, -2, -126, 0}));
}

TEST(Kernels, EveryWeightHasAKernelUnderEveryCap) {
  for (const bool a8 : {false, true}) {
    for (int bits = 2; bits <= 8; ++bits) {
      const Kernel& k = choose_gemm(
          {.n = 3, .k = 5, .weight = WeightType::codes, .bits = bits, .group = 5, .a8 = a8});
      EXPECT_TRUE(can_run(k)) << k.name;
    }
  }
  for (const WeightType type : {WeightType::f32, WeightType::f16, WeightType::bf16})
    EXPECT_TRUE(can_run(choose_gemm({.n = 3, .k = 5, .weight = type, .bits = 0, .group = 5})));
}

}  // namespace
}  // namespace nibble
