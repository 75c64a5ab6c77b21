// What a cache keeps of a text when it is cut short, and when another one begins with it.
#include "nibble/nn/kv_cache.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <stdexcept>
#include <vector>

#include "nibble/core/random.h"
#include "nibble/nn/attention.h"

namespace nibble {
namespace {

constexpr AttentionShape kShape{4, 2, 20};
constexpr int64_t kLayers = 2;

std::vector<float> drawn(uint64_t seed, int64_t n) {
  PyRandom random(seed);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& v : out) v = static_cast<float>(random.gauss(0, 1));
  return out;
}

// Positions `from` to `to` of the text `seed`.
void append(KvCache& cache, uint64_t seed, int64_t from, int64_t to) {
  for (int64_t t = from; t < to; ++t) {
    for (int64_t layer = 0; layer < kLayers; ++layer) {
      for (int64_t h = 0; h < kShape.kv_heads; ++h) {
        const auto at = seed * 1000 + static_cast<uint64_t>(t * 10 + layer * 2 + h);
        const std::vector<float> k = drawn(at, kShape.head_dim), v = drawn(~at, kShape.head_dim);
        cache.write(layer, h, t, k.data(), v.data());
      }
    }
  }
  cache.advance(to - from);
}

// What the last position of a cache sees, in every layer.
std::vector<float> last_of(const KvCache& cache) {
  const std::vector<float> q = drawn(7, kShape.heads * kShape.head_dim);
  std::vector<float> out(q.size() * kLayers);
  for (size_t layer = 0; layer < kLayers; ++layer) {
    attend({q.data(), static_cast<int64_t>(q.size()), 1, cache.length() - 1}, cache,
           static_cast<int64_t>(layer), {kShape, 0, 0.2f, 0},
           std::span(out).subspan(layer * q.size(), q.size()), Exec{});
  }
  return out;
}

class KvCacheOf : public testing::TestWithParam<DType> {};

TEST_P(KvCacheOf, CutShortGoesOnAsIfNothingElseHadBeenRead) {
  KvCache plain(kLayers, 90, kShape, GetParam()), cut(kLayers, 90, kShape, GetParam());
  for (const int64_t kept : {0, 1, 16, 21}) {
    plain.clear();
    append(plain, 1, 0, kept);
    append(plain, 2, kept, 40);
    cut.clear();
    append(cut, 1, 0, 70);
    cut.truncate(kept);
    EXPECT_EQ(cut.length(), kept);
    append(cut, 2, kept, 40);
    EXPECT_EQ(last_of(cut), last_of(plain)) << kept;
  }
}

TEST_P(KvCacheOf, BeginsWithAnothersText) {
  KvCache first(kLayers, 50, kShape, GetParam());
  append(first, 1, 0, 45);
  for (const int64_t shared : {1, 16, 33, 45}) {
    KvCache plain(kLayers, 80, kShape, GetParam()), copy(kLayers, 100, kShape, GetParam());
    append(plain, 1, 0, shared);
    append(plain, 3, shared, 60);
    copy.copy_prefix(first, shared);
    append(copy, 3, shared, 60);
    EXPECT_EQ(last_of(copy), last_of(plain)) << shared;
  }
  EXPECT_EQ(first.length(), 45);
  KvCache small(kLayers, 40, kShape, GetParam());
  EXPECT_THROW(small.copy_prefix(first, 41), std::logic_error) << "beyond its capacity";
  EXPECT_THROW(small.copy_prefix(KvCache(1, 50, kShape, GetParam()), 0), std::logic_error)
      << "other layers";
}

INSTANTIATE_TEST_SUITE_P(Types, KvCacheOf, testing::Values(DType::f32, DType::f16, DType::i8),
                         [](const auto& info) { return std::string(to_string(info.param)); });

TEST(KvCachePages, StatesKnowOnlyTheirLastToken) {
  const CacheShape shape{std::vector(kLayers, kShape), 1, 3};
  KvCache a(shape, 30), b(shape, 30);
  append(a, 1, 0, 5);  // two states: before the text and behind it
  for (float& v : a.next_state(0)) v = 4;
  append(a, 1, 5, 9);
  b.copy_prefix(a, 9);
  EXPECT_EQ(b.state(0)[2], 4);
  EXPECT_THROW(b.copy_prefix(a, 8), std::logic_error);
  EXPECT_THROW(a.truncate(8), std::logic_error);
  a.truncate(9);
  EXPECT_EQ(a.state(0)[2], 4);
  a.truncate(0);
  EXPECT_EQ(a.state(0)[2], 0);
}

// Each layer's heads as if they were alone.
TEST(KvCachePages, LayersMayHaveOtherHeads) {
  const AttentionShape shapes[] = {{4, 2, 20}, {4, 1, 33}, {2, 2, 8}};
  for (const DType type : {DType::f32, DType::f16, DType::i8}) {
    KvCache all({{std::begin(shapes), std::end(shapes)}, 0, 0}, 40, type);
    int64_t bytes = 0, place = 0;
    for (const AttentionShape& s : shapes) {
      KvCache alone(1, 40, s, type);
      bytes += static_cast<int64_t>(alone.memory_bytes());
      const std::vector<float> q = drawn(5, s.heads * s.head_dim);
      std::vector<float> expected(q.size()), found(q.size());
      for (int64_t t = 0; t < 23; ++t) {
        for (int64_t h = 0; h < s.kv_heads; ++h) {
          const std::vector<float> x = drawn(static_cast<uint64_t>(100 * t + h), s.head_dim);
          alone.write(0, h, t, x.data(), x.data());
          all.write(place, h, t, x.data(), x.data());
        }
      }
      const AttentionRule rule{s, 0, 0.2f, 0};
      attend({q.data(), std::ssize(q), 1, 22}, alone, 0, rule, expected, Exec{});
      attend({q.data(), std::ssize(q), 1, 22}, all, place++, rule, found, Exec{});
      EXPECT_EQ(found, expected);
    }
    EXPECT_EQ(static_cast<int64_t>(all.memory_bytes()), bytes);
    EXPECT_EQ(KvCache::bytes_per_token(all.shape(), type) * 48, bytes);
  }
}

int64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  int64_t all = 0, resident = 0;
  statm >> all >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

// 64 MiB of positions, of which a few are used, then many, then few again.
TEST(KvCachePages, MemoryComesWithPositionsAndGoesWithThem) {
  const AttentionShape shape{1, 1, 128};
  const int64_t capacity = 1 << 16;
  const int64_t before = resident_bytes();
  KvCache cache(1, capacity, shape);
  const std::vector<float> x(128, 1.0f);
  const auto fill = [&](int64_t from, int64_t to) {
    for (int64_t t = from; t < to; ++t) cache.write(0, 0, t, x.data(), x.data());
    cache.advance(to - from);
  };
  fill(0, 100);
  EXPECT_LT(resident_bytes() - before, int64_t{8} << 20) << "capacity is not memory";
  fill(100, capacity);
  const int64_t full = resident_bytes();
  EXPECT_GT(full - before, int64_t{60} << 20);
  cache.truncate(100);
  EXPECT_LT(resident_bytes(), full - (int64_t{60} << 20));
}

}  // namespace
}  // namespace nibble
