// Weights with offsets and with scales in two levels, as the block formats of GGUF have them: every
// kernel gives the reference's bytes, and the reference multiplies what is defined.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <set>
#include <string>

#include "nibble/core/checked.h"
#include "nibble/core/float_formats.h"
#include "tests/kernels/product_case.h"

namespace nibble {
namespace {

struct Combination {
  int bits;
  int64_t group;
  ScaleType scale;
  bool offsets;
  WeightType weight = WeightType::codes;
};
// What is named after a format is used; the others are what else can be said.
constexpr Combination kCombinations[] = {
    {4, 32, ScaleType::f16, true},                         // Q4_1
    {5, 32, ScaleType::f16, true},                         // Q5_1
    {2, 16, ScaleType::blocks, true},                      // Q2_K
    {3, 16, ScaleType::blocks, false},                     // Q3_K
    {4, 32, ScaleType::blocks, true},                      // Q4_K
    {5, 32, ScaleType::blocks, true},                      // Q5_K
    {6, 16, ScaleType::blocks, false},                     // Q6_K
    {4, 32, ScaleType::blocks, false, WeightType::table},  // IQ4_XS
    {4, 16, ScaleType::blocks, false, WeightType::table},  //
    {4, 4, ScaleType::blocks, false, WeightType::table},   //
    {7, 64, ScaleType::blocks, true},                      //
    {8, 256, ScaleType::blocks, true},                     //
    {8, 16, ScaleType::blocks, false},                     //
    {4, 4, ScaleType::blocks, true},                       //
    {6, 16, ScaleType::blocks, true},                      //
    {3, 8, ScaleType::bf16, true},                         //
    {4, 16, ScaleType::f32, true},                         //
    {8, 128, ScaleType::f32, true},                        //
    {2, 64, ScaleType::f16, true},                         // MLX, from here on
    {3, 128, ScaleType::bf16, true},                       //
    {4, 64, ScaleType::bf16, true},                        //
    {5, 64, ScaleType::f32, true},                         //
    {6, 128, ScaleType::f16, true},                        //
    {8, 32, ScaleType::bf16, true},
};

Wanted wanted_of(const Combination& of, int64_t n, int64_t k, bool a8) {
  Wanted w;
  w.traits = {.n = n, .k = k, .weight = of.weight, .bits = of.bits};
  w.traits.group = of.group;
  w.traits.a8 = a8;
  w.scale = of.scale;
  w.with_offsets = of.offsets;
  w.with_bias = n % 2 == 0;
  return w;
}

// Every kernel's name must be seen; those of plain weights have no part in this.
void expect_many_ran(const std::set<std::string>& ran) {
  size_t possible = 0;
  for (const Kernel* k : kernels()) {
    if (k->accepts == nullptr || is_ref(*k) || !can_run(*k)) continue;
    const std::string name = k->name;
    const bool plain =
        name.starts_with("gemm_f") || name.starts_with("gemm_bf") || name.starts_with("gemm_e");
    if (!plain) ++possible;
  }
  EXPECT_EQ(ran.size(), possible);
}

TEST(Kernels, OffsetsAndBlocksOfScalesGiveTheReferencesBytes) {
  std::set<std::string> ran;
  for (const Combination& of : kCombinations) {
    for (const bool a8 : {false, true}) {
      if (a8 && of.weight == WeightType::table) continue;
      for (const int64_t n : {1, 17, 64, 70, 130}) {
        for (const int64_t k : {256, 768}) {
          for (const int64_t m : {1, 2, 5, 17, 33}) compare(wanted_of(of, n, k, a8), m, ran);
        }
      }
      compare(wanted_of(of, 65, 1280, a8), 101, ran);
    }
  }
  expect_many_ran(ran);
}

TEST(Kernels, OffsetsAndBlocksOfScalesAtTheirLimitsAreExact) {
  std::set<std::string> ran;
  for (const Combination& of : kCombinations) {
    for (const Fill fill : {Fill::lowest, Fill::highest, Fill::alternating}) {
      for (const int64_t m : {1, 3, 33}) {
        Wanted w = wanted_of(of, 9, 4096, of.weight == WeightType::codes);
        w.fill = fill;
        compare(w, m, ran);
        w.traits.a8 = false;
        compare(w, m, ran);
      }
    }
  }
}

// Inputs that end within a unit, or within a block, and one group of all of them.
TEST(Kernels, OffsetsOfRaggedInputsGiveTheReferencesBytes) {
  std::set<std::string> ran;
  for (const bool a8 : {false, true}) {
    for (const int64_t m : {1, 5, 33}) {
      for (int bits = 2; bits <= 8; ++bits) {
        for (const int64_t group : {16, 24, 48, 144})
          compare(wanted_of({bits, group, ScaleType::f16, true}, 33, 144, a8), m, ran);
        for (const int64_t group : {4, 16, 32})
          compare(wanted_of({bits, group, ScaleType::blocks, bits % 2 == 0}, 33, 352, a8), m, ran);
      }
    }
  }
}

// The definition once more, written out for one output of Q4_K.
TEST(Kernels, TheReferenceMultipliesWhatIsDefinedForOffsets) {
  const Wanted w = wanted_of({4, 32, ScaleType::blocks, true}, 3, 512, false);
  const auto c = make_case(w, 1);
  constexpr int64_t kRow = 2, kGroups = 16;
  float plain = 0, coded = 0;
  const auto a8 = make_case(wanted_of({4, 32, ScaleType::blocks, true}, 3, 512, true), 1);
  for (int64_t g = 0; g < kGroups; ++g) {
    const auto at = static_cast<size_t>(kRow * kGroups + g);
    const auto super = static_cast<size_t>(kRow * c->w.super_stride + g / 8);
    const float scale = static_cast<float>(c->scales.bytes[at]) * c->scales.supers[super];
    const float offset = static_cast<float>(c->offsets.bytes[at]) * c->offsets.supers[super];
    int64_t products = 0, sum = 0;
    for (int64_t i = g * 32; i < (g + 1) * 32; ++i) {
      const int both = c->data[static_cast<size_t>(kRow * c->w.row_bytes + i / 2)];
      const int code = i % 2 == 0 ? both & 15 : both >> 4;
      const int8_t x = a8->codes[static_cast<size_t>(i)];
      const float weight = static_cast<float>(code) * scale;
      plain = std::fma(c->x[static_cast<size_t>(i)], weight + offset, plain);
      products += int64_t{code} * x;
      sum += x;
    }
    coded = std::fma(static_cast<float>(products), scale, coded);
    coded = std::fma(static_cast<float>(sum), offset, coded);
  }
  EXPECT_EQ(run_case(reference_for(w.traits), *c)[kRow], plain + c->residual[kRow]);
  EXPECT_EQ(run_case(reference_for(a8->w.traits), *a8)[kRow],
            coded * a8->row_scales[0] + a8->residual[kRow]);
}

// DESIGN section 3: resident bytes stay near the file's.
TEST(Kernels, SlabsOfBlocksTakeALittleMoreThanTheirFile) {
  const auto bits = [](const Combination& of) {
    const auto c = make_case(wanted_of(of, 64, 1024, true), 1);
    const Kernel& kernel = choose_gemm(c->w.traits);
    return kernel.pack == nullptr ? 0 : static_cast<double>(kernel.packed_bytes(c->w)) * 8 / 65536;
  };
  if (bits(kCombinations[0]) == 0) GTEST_SKIP() << "only the reference, which does not pack";
  EXPECT_EQ(bits({2, 16, ScaleType::blocks, true}), 3.25);
  EXPECT_EQ(bits({3, 16, ScaleType::blocks, false}), 3.625);
  EXPECT_EQ(bits({4, 32, ScaleType::blocks, true}), 4.75);
  EXPECT_EQ(bits({5, 32, ScaleType::blocks, true}), 5.75);
  EXPECT_EQ(bits({6, 16, ScaleType::blocks, false}), 6.625);
  EXPECT_EQ(bits({4, 32, ScaleType::f16, true}), 5);
}

}  // namespace
}  // namespace nibble
