// The expected values are what CPython 3.12 gives: random.Random(seed).random() and so on.
#include "nibble/core/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "nibble/core/error.h"

namespace nibble {
namespace {

TEST(PyRandom, RandomOfSeveralSeeds) {
  struct Row {
    uint64_t seed;
    double expected[4];
  };
  const Row rows[] = {
      {0, {0x1.b0580f98a7dbep-1, 0x1.84129978f9c1ap-1, 0x1.aeaa51052e978p-2, 0x1.092178fb945a6p-2}},
      {42,
       {0x1.4762f307200c5p-1, 0x1.99c6b5eeb2060p-6, 0x1.19a1491f589dcp-2, 0x1.c922b623b8c1cp-3}},
      {(uint64_t{1} << 40) + 7,
       {0x1.3a3761afd4291p-1, 0x1.a13cb57c0715ap-1, 0x1.e3d88c68edf49p-1, 0x1.240a3fed28776p-1}},
      {UINT64_MAX,
       {0x1.659799fd7f980p-6, 0x1.5a35a94f333d8p-2, 0x1.b21c0274c09a4p-3, 0x1.3af1cb8614c45p-1}}};
  for (const Row& row : rows) {
    PyRandom random(row.seed);
    for (double expected : row.expected) EXPECT_EQ(random.random(), expected) << row.seed;
  }
}

TEST(PyRandom, LongStreamCrossesRefills) {
  PyRandom random(42);
  for (int i = 0; i < 1999; ++i) random.random();
  EXPECT_EQ(random.random(), 0x1.3501bc70293b8p-2);
  EXPECT_EQ(random.gauss(0, 1), 0x1.d38d0a3475076p-1);
}

TEST(PyRandom, Getrandbits) {
  PyRandom random(42);
  const std::pair<int, uint64_t> expected[] = {{1, 1},
                                               {5, 3},
                                               {31, 53710184},
                                               {32, 3184935163},
                                               {33, 1181241943},
                                               {48, 39274139637470},
                                               {64, 1890702223848595625}};
  for (const auto& [bits, value] : expected) EXPECT_EQ(random.getrandbits(bits), value) << bits;
}

TEST(PyRandom, Below) {
  PyRandom random(42);
  const std::pair<uint64_t, uint64_t> expected[] = {{1, 0},
                                                    {2, 0},
                                                    {3, 2},
                                                    {10, 4},
                                                    {1000, 250},
                                                    {uint64_t{1} << 32, 958682846},
                                                    {(uint64_t{1} << 33) + 1, 3163119785},
                                                    {uint64_t{1} << 63, 586287033698423193}};
  for (const auto& [n, value] : expected) EXPECT_EQ(random.below(n), value) << n;
}

TEST(PyRandom, Gauss) {
  PyRandom random(7);
  for (double expected : {0x1.eb09cd296a9eap-2, 0x1.14f2bf8343ad0p-1, 0x1.ed7a6b7548224p-2,
                          0x1.e6308949a0954p-2, 0x1.b3d01adc1f040p-2}) {
    EXPECT_EQ(random.gauss(0.5, 0.08), expected);
  }
}

TEST(PyRandom, Shuffle) {
  PyRandom random(42);
  std::vector<int> items(20);
  std::iota(items.begin(), items.end(), 0);
  random.shuffle(items);
  EXPECT_EQ(items, (std::vector<int>{19, 5,  14, 4,  9, 13, 15, 18, 6, 12,
                                     17, 10, 1,  11, 2, 16, 7,  8,  0, 3}));
}

TEST(PyRandom, Choices) {
  PyRandom random(9);
  const std::vector<double> weights = {0.1, 0, 3, 0.25, 1e-9};
  for (int i = 0; i < 24; ++i) EXPECT_EQ(random.choice(weights), i == 4 ? 0u : 2u) << i;
}

TEST(PyRandom, ChoiceRefusesWeightsWithoutSum) {
  PyRandom random(9);
  EXPECT_THROW(random.choice({}), Error);
  EXPECT_THROW(random.choice(std::vector<double>{0, 0}), Error);
  EXPECT_THROW(random.choice(std::vector<double>{1, INFINITY}), Error);
}

TEST(PyRandom, SavedStateGoesOn) {
  PyRandom random(5);
  for (int i = 0; i < 777; ++i) random.gauss(0, 1);  // odd: one value is kept
  PyRandom again = PyRandom::restore(random.save());
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(random.gauss(0, 1), again.gauss(0, 1));
}

TEST(PyRandom, RestoreRefusesDamage) {
  const std::string good = PyRandom(5).save();
  for (size_t length = 0; length < good.size(); length += 97) {
    EXPECT_THROW(PyRandom::restore(good.substr(0, length)), Error) << length;
  }
  EXPECT_THROW(PyRandom::restore("mt19937 625" + good.substr(11)), Error);
  EXPECT_THROW(PyRandom::restore(good + "x"), Error);
}

}  // namespace
}  // namespace nibble
