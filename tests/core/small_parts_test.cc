// Small parts of core: checked arithmetic, counts, days, memory, sets of keys, the processor.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <set>
#include <string>

#include "nibble/core/aligned_memory.h"
#include "nibble/core/checked.h"
#include "nibble/core/counted.h"
#include "nibble/core/cpu.h"
#include "nibble/core/date.h"
#include "nibble/core/json_number.h"
#include "nibble/core/key_set.h"
#include "nibble/core/version.h"

namespace nibble {
namespace {

RC_GTEST_PROP(Checked, AgreesWithWiderArithmetic, (int64_t a, int64_t b)) {
  const __int128 product = static_cast<__int128>(a) * b, sum = static_cast<__int128>(a) + b;
  const auto fits = [](__int128 v) { return v >= INT64_MIN && v <= INT64_MAX; };
  RC_ASSERT(checked_mul(a, b).has_value() == fits(product));
  RC_ASSERT(checked_add(a, b).has_value() == fits(sum));
  if (fits(product)) RC_ASSERT(*checked_mul(a, b) == static_cast<int64_t>(product));
  if (fits(sum)) RC_ASSERT(*checked_add(a, b) == static_cast<int64_t>(sum));
}

TEST(Checked, AtTheLimits) {
  EXPECT_FALSE(checked_mul(INT64_MAX, 2));
  EXPECT_FALSE(checked_mul(INT64_MIN, -1));
  EXPECT_FALSE(checked_mul(int64_t{1} << 32, int64_t{1} << 31));
  EXPECT_EQ(checked_mul(int64_t{1} << 31, int64_t{1} << 31), int64_t{1} << 62);
  EXPECT_EQ(checked_mul(INT64_MAX, 0), 0);
  EXPECT_FALSE(checked_add(INT64_MAX, 1));
  EXPECT_EQ(checked_add(INT64_MAX, -1), INT64_MAX - 1);
  EXPECT_EQ(saturating_mul(INT64_MAX, 3), INT64_MAX);
  EXPECT_EQ(saturating_mul(6, 7), 42);
}

TEST(Checked, DividesUp) {
  for (int64_t a = 0; a < 50; ++a) {
    for (int64_t b = 1; b < 20; ++b) {
      EXPECT_EQ(ceil_div(a, b),
                static_cast<int64_t>(std::ceil(static_cast<double>(a) / static_cast<double>(b))));
    }
  }
  EXPECT_EQ(ceil_div(INT64_MAX, INT64_MAX), 1);
  EXPECT_EQ(ceil_div(INT64_MAX, 1), INT64_MAX);
}

TEST(Counted, AsPeopleSayIt) {
  EXPECT_EQ(counted(1, "sample"), "1 sample");
  EXPECT_EQ(counted(0, "sample"), "0 samples");
  EXPECT_EQ(counted(2, "matrix", "matrices"), "2 matrices");
  EXPECT_EQ(counted(1, "matrix", "matrices"), "1 matrix");
  EXPECT_EQ(noun(3, "token"), "tokens");
}

TEST(Today, IsADayOfUtc) {
  const auto day = [] {
    const std::time_t now = std::time(nullptr);
    std::tm t{};
    gmtime_r(&now, &t);
    char text[32];
    std::snprintf(text, sizeof text, "%04d-%02d-%02d", t.tm_year + 1900, t.tm_mon + 1, t.tm_mday);
    return std::string(text);
  };
  const std::string before = day(), said = today(), after = day();
  EXPECT_TRUE(said == before || said == after) << said;
}

TEST(Version, IsThreeNumbers) {
  const std::string text(version());
  EXPECT_EQ(std::count(text.begin(), text.end(), '.'), 2) << text;
  EXPECT_EQ(text.find_first_not_of("0123456789."), std::string::npos) << text;
}

TEST(AlignedMemory, GrowsAndNeverShrinks) {
  AlignedMemory memory;
  EXPECT_EQ(memory.bytes(), 0);
  for (const int64_t bytes : {1, 63, 64, 65, 4096, 5 << 20}) {
    auto* data = memory.get<unsigned char>(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
    EXPECT_EQ(memory.bytes(), bytes);
    data[0] = 1;
    data[bytes - 1] = 2;
    EXPECT_EQ(memory.get<unsigned char>(bytes / 2), data);  // room enough: it stays where it is
    EXPECT_EQ(data[bytes - 1], 2);
  }
  const auto* large = memory.as();
  EXPECT_EQ(reinterpret_cast<uintptr_t>(large) % (2 << 20), 0u) << "a huge page's";
  EXPECT_EQ(memory.get<double>(100), memory.as<double>());
}

TEST(AlignedMemory, MovesWithItsBytes) {
  AlignedMemory a(100);
  auto* data = a.as<int>();
  data[3] = 7;
  AlignedMemory b(std::move(a));
  EXPECT_EQ(b.as<int>(), data);
  AlignedMemory c;
  c = std::move(b);
  EXPECT_EQ(c.as<int>()[3], 7);
  EXPECT_EQ(c.bytes(), 100);
#if !defined(__SANITIZE_ADDRESS__)  // which ends the process instead
  EXPECT_THROW(c.reserve(int64_t{1} << 60), std::bad_alloc);
  EXPECT_EQ(c.as<int>()[3], 7) << "what there was is kept where there is no more";
#endif
}

TEST(KeySet, TellsWhatCameBefore) {
  KeySet set;
  std::set<std::string> oracle;
  uint32_t state = 7;
  for (int i = 0; i < 20'000; ++i) {
    state = state * 1664525 + 1013904223;
    const std::string key = "k" + std::to_string((state >> 8) % 9000);
    EXPECT_EQ(set.insert(key), oracle.insert(key).second) << key;
  }
}

TEST(KeySet, StringsThatDifferInLengthOrZerosOnly) {
  KeySet set;
  std::string text;
  for (int n = 0; n < 100; ++n, text += '\0') EXPECT_TRUE(set.insert(text)) << n;
  for (int n = 0; n < 20; ++n)
    EXPECT_TRUE(set.insert(std::string(static_cast<size_t>(n), 'a') + "b"));
  EXPECT_FALSE(set.insert(""));
  EXPECT_FALSE(set.insert("b"));
}

TEST(KeySet, ForgetsAllAtOnce) {
  for (const int keys : {1, 10, 5000}) {
    KeySet set;
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < keys; ++i) EXPECT_TRUE(set.insert(std::to_string(i)));
      EXPECT_FALSE(set.insert("0"));
      set.clear();
    }
    set.clear();
    EXPECT_TRUE(set.insert("0"));
  }
}

TEST(JsonNumber, OfPythonsWords) {
  EXPECT_EQ(python_number_word("NaN, 1"), "NaN");
  EXPECT_EQ(python_number_word("-Infinity"), "-Infinity");
  EXPECT_EQ(python_number_word("Infinity]"), "Infinity");
  for (const char* text : {"", "nan", "Na", "-NaN", "inf", "-Infinit", "+Infinity"})
    EXPECT_EQ(python_number_word(text), "") << text;
  EXPECT_TRUE(std::isnan(json_number("NaN").value()));
  EXPECT_EQ(json_number("-Infinity").value(), -INFINITY);
}

TEST(JsonNumber, WhatIsTooLargeIsNoNumberAndWhatIsTooSmallIsZero) {
  EXPECT_EQ(json_number("1e308").value(), 1e308);
  EXPECT_FALSE(json_number("1e309"));
  EXPECT_FALSE(json_number("-1e309"));
  EXPECT_FALSE(json_number("123456789e400"));
  EXPECT_FALSE(json_number("1" + std::string(400, '0')));
  EXPECT_EQ(json_number("1e-400").value(), 0);
  EXPECT_EQ(json_number("0.000000001e-320").value(), 0);
  EXPECT_TRUE(std::signbit(json_number("-1e-400").value()));
  EXPECT_EQ(json_number("0e999999999999999999999").value(), 0);
}

TEST(Cpu, WhatIsUsedIsThere) {
  const Cpu& c = cpu();
  EXPECT_EQ(c.bits & ~c.detected, 0u);
  EXPECT_EQ(&cpu(), &c) << "found once";
  EXPECT_FALSE(c.model.empty());
  const auto isas = available_isas();
  ASSERT_FALSE(isas.empty());
  EXPECT_EQ(isas.front(), "ref");
  EXPECT_EQ(std::set<std::string_view>(isas.begin(), isas.end()).size(), isas.size());
  EXPECT_NE(std::find(isas.begin(), isas.end(), c.isa), isas.end()) << c.isa;
  // Every level above AVX2 has AVX2.
  if (isas.size() > 1) {
    EXPECT_NE(c.detected & kAvx2, 0u);
  }
}

}  // namespace
}  // namespace nibble
