// Every kernel of the list that this processor can run (as NIBBLE_ISA caps it) against the
// reference, on ragged shapes and with every code at its limits.
#include "nibble/kernels/kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "nibble/core/cpu.h"
#include "nibble/core/float_formats.h"
#include "tests/kernels/product_case.h"

namespace nibble {
namespace {

constexpr int64_t kExtents[] = {1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 33, 63, 96, 127, 129, 192, 255};
constexpr int64_t kRowCounts[] = {1, 2, 3, 16, 17};
// Rows of x that need more than one block, and inputs that do.
constexpr int64_t kManyRows = 101, kManyInputs = 1100;

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
  for (const int bits : {3, 4, 8}) {
    for (const int64_t group : {128, 384, 1152}) {
      Wanted w;
      w.traits = {.n = 65, .k = 1152, .weight = WeightType::codes, .bits = bits};
      w.traits.group = group;
      w.traits.a8 = true;
      w.asymmetric = bits == 3;
      compare(w, kManyRows, ran);
    }
  }
  print_ran(ran);
  expect_all_ran(ran, is_integer);
}

// Every code at its limits with every x at 127 or -128 is where saturating instructions go wrong.
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
  const auto c = make_case(w, 1);
  c->residual.clear();
  const auto y = run_case(choose_gemm(w.traits), *c);
  const float scale = f16_to_f32(c->scales.narrow[0]);
  EXPECT_EQ(y[0], static_cast<float>(int64_t{70000} * 127 * 127) * scale * c->row_scales[0]);
}

// The reference itself against f64, within the bound of the harness.
TEST(Kernels, TheReferenceIsWithinItsBoundOfF64) {
  for (const int64_t k : {1, 17, 255, 4096}) {
    Wanted w;
    w.traits = {.n = 7, .k = k, .weight = WeightType::f32, .bits = 0, .group = k, .a8 = false};
    const auto c = make_case(w, 2);
    const auto y = run_case(reference_for(w.traits), *c);
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
