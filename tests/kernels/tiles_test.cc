// The AMX kernels' arithmetic against the reference where there are no tiles; where there are, the
// kernels themselves are tested with all others (kernels_test.cc).
#include <gtest/gtest.h>

#include <cstring>

#include "tests/kernels/emulated_tiles.h"
#include "tests/kernels/product_case.h"

namespace nibble {
namespace {

#if defined(__x86_64__)

const Kernel* const kTiled[] = {&gemm_i8_emulated_tiles, &gemm_i4_emulated_tiles,
                                &gemm_narrow_emulated_tiles};

void expect_the_references_bytes(const Wanted& wanted, int64_t m) {
  const auto c = make_case(wanted, m);
  const auto expected = run_case(reference_for(wanted.traits), *c);
  int ran = 0;
  for (const Kernel* kernel : kTiled) {
    if (!kernel->accepts(wanted.traits)) continue;
    ++ran;
    const auto got = run_case(*kernel, *c);
    EXPECT_EQ(std::memcmp(got.data(), expected.data(), got.size() * 4), 0)
        << kernel->name << " " << c->label;
  }
  EXPECT_EQ(ran, 1) << c->label;
}

Wanted wanted(int64_t n, int64_t k, int64_t group, int bits) {
  Wanted w;
  w.traits = {.n = n, .k = k, .weight = WeightType::codes, .bits = bits};
  w.traits.group = group;
  w.traits.a8 = true;
  w.asymmetric = (n + bits) % 2 == 0;
  w.scale = static_cast<ScaleType>((n + k) % 3);
  w.with_bias = bits % 3 != 0;
  return w;
}

class Tiles : public testing::Test {
 protected:
  void SetUp() override {
    if (!can_run(*kTiled[0])) GTEST_SKIP() << "needs AVX-512 VNNI";
  }
};

TEST_F(Tiles, GiveTheReferencesBytesForAnyRowsAndInputs) {
  for (const int64_t m : {1, 15, 16, 17, 31, 32, 33, 47, 100}) {
    for (const int64_t k : {5, 32, 63, 64, 96, 544, 1100}) {
      for (const int bits : {8, 4, 3}) expect_the_references_bytes(wanted(70, k, k, bits), m);
    }
  }
}

TEST_F(Tiles, GiveTheReferencesBytesForAnyGroup) {
  for (const int64_t group : {4, 32, 64, 96, 128, 576, 1152}) {
    for (int bits = 2; bits <= 8; ++bits) {
      for (const int64_t m : {16, 49})
        expect_the_references_bytes(wanted(129, 1152, group, bits), m);
    }
  }
}

TEST_F(Tiles, GiveTheReferencesBytesWithOffsetsAndBlocksOfScales) {
  for (const ScaleType scale : {ScaleType::f16, ScaleType::blocks}) {
    for (const bool offsets : {false, true}) {
      for (const int64_t group : {16, 32, 64, 256}) {
        for (const int64_t m : {1, 5, 17, 33}) {
          Wanted w = wanted(70, 768, group, group == 64 ? 8 : 4);
          w.asymmetric = false;
          w.scale = scale;
          w.with_offsets = offsets;
          expect_the_references_bytes(w, m);
        }
      }
    }
  }
}

// More rows than are kept at once; a rest of less than a tile.
TEST_F(Tiles, GiveTheReferencesBytesForManyRows) {
  for (const int64_t m : {255, 256, 257, 271, 272, 530})
    expect_the_references_bytes(wanted(64, 256, 128, 4), m);
}

TEST_F(Tiles, AreExactAtTheLimitsOfCodes) {
  for (const Fill fill : {Fill::lowest, Fill::highest, Fill::alternating}) {
    for (const int bits : {8, 4}) {
      for (const int64_t group : {64, 65536}) {
        Wanted w = wanted(5, 65536, group, bits);
        w.fill = fill;
        expect_the_references_bytes(w, 17);
      }
    }
  }
}

#endif

}  // namespace
}  // namespace nibble
