// Products with weights of nf4, fp4, mxfp4, nvfp4 and fp8: every kernel gives the reference's
// bytes, and the reference multiplies what dequantize() says.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "nibble/core/cpu.h"
#include "nibble/kernels/kernels.h"
#include "nibble/nn/linear.h"
#include "nibble/quant/number.h"
#include "nibble/quant/rtn.h"
#include "tests/kernels/noise.h"

namespace nibble {
namespace {

constexpr int64_t kTableExtents[] = {1, 2, 3, 7, 15, 16, 17, 31, 33, 63, 64, 65, 127, 255};
constexpr int64_t kTableRows[] = {1, 2, 3, 4, 5, 16, 17};
constexpr const char* kSchemes[] = {
    "nf4",      "nf4:g3",   "fp4:g16",         "mxfp4",         "nvfp4",      "fp8_e4m3",
    "fp8_e5m2", "fp4:g128", "fp8_e4m3:tensor", "fp8_e4m3:g128", "fp8_e5m2:g3"};

std::vector<float> noise(int64_t count, uint64_t seed, float scale = 1) {
  Noise n(seed);
  std::vector<float> out(static_cast<size_t>(count));
  for (float& v : out) v = n.real() * scale;
  return out;
}

// Every finite code, in random places: what rounding to nearest gives would leave some out.
void scatter_codes(QuantizedTensor& q, uint64_t seed) {
  Noise n(seed);
  const auto table = number(q.scheme).table();
  const auto row_bytes = static_cast<size_t>(q.codes.shape()[1]);
  std::vector<uint8_t> codes(static_cast<size_t>(q.k()));
  for (size_t r = 0; r < static_cast<size_t>(q.n()); ++r) {
    for (uint8_t& c : codes) {
      do {
        c = static_cast<uint8_t>(n.next() % table.size());
      } while (!std::isfinite(table[c]));
    }
    pack_codes(codes, q.scheme.bits(),
               q.codes.mutable_data<uint8_t>().subspan(r * row_bytes, row_bytes));
  }
}

QuantizedTensor weight(const char* scheme, int64_t n, int64_t k, DType scales, float size = 1) {
  const Tensor w =
      Tensor::from<float>(Shape{n, k}, noise(n * k, static_cast<uint64_t>(n * 1009 + k), size));
  RtnOptions options;
  options.scale_dtype = scales;
  QuantizedTensor q = quantize_rtn(w, parse_scheme(scheme), options, "w");
  if (q.scheme.has_codebook()) scatter_codes(q, static_cast<uint64_t>(n + k));
  return q;
}

// y by the definition: dequantize(), one fma an input in order, then the bias.
std::vector<float> expected(const QuantizedTensor& q, const std::vector<float>& x, int64_t m,
                            const std::vector<float>& bias) {
  const Tensor w = dequantize(q);
  const float* values = w.data<float>().data();
  std::vector<float> y;
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t j = 0; j < q.n(); ++j) {
      float t = 0;
      for (int64_t i = 0; i < q.k(); ++i)
        t = std::fma(x[static_cast<size_t>(r * q.k() + i)], values[j * q.k() + i], t);
      y.push_back(bias.empty() ? t : t + bias[static_cast<size_t>(j)]);
    }
  }
  return y;
}

std::string check(const QuantizedTensor& q, int64_t m, std::set<std::string>& ran) {
  const int64_t n = q.n(), k = q.k();
  const auto x = noise(m * k, static_cast<uint64_t>(m * 7 + k));
  const auto bias = (n + k) % 2 == 0 ? noise(n, 3) : std::vector<float>();
  std::optional<Tensor> b;
  if (!bias.empty()) b = Tensor::from<float>(Shape{n}, bias);
  std::vector<LinearMember> members;
  members.push_back({"w", q, b});
  const LinearGroup group(std::move(members), LinearOptions{.threads = 1});
  ran.insert(std::string(group.kernel_name(0)));
  std::vector<float> y(static_cast<size_t>(m * n), -7);
  group.forward(x, m, y.data(), Exec{});
  const auto want = expected(q, x, m, bias);
  std::string where = to_string(q.scheme) + " n " + std::to_string(n) + " k " + std::to_string(k) +
                      " m " + std::to_string(m);
  if (std::memcmp(y.data(), want.data(), y.size() * sizeof(float)) != 0) return where;
  const auto back = group.source(0).quantized();
  if (std::memcmp(back.codes.raw(), q.codes.raw(), q.codes.bytes()) != 0)
    return where + ": codes do not come back";
  if (std::memcmp(back.scales.raw(), q.scales.raw(), q.scales.bytes()) != 0)
    return where + ": scales do not come back";
  if (q.super_scales &&
      std::memcmp(back.super_scales->raw(), q.super_scales->raw(), q.super_scales->bytes()) != 0)
    return where + ": super scales do not come back";
  const Tensor values = dequantize(q);
  std::vector<float> row(static_cast<size_t>(k));
  for (const int64_t j : {int64_t{0}, n / 2, n - 1}) {
    group.weight_row(0, j, row);
    if (std::memcmp(row.data(), values.data<float>().data() + j * k, row.size() * sizeof(float)) !=
        0)
      return where + ": row " + std::to_string(j) + " does not come back";
  }
  return {};
}

std::string check(const char* scheme, int64_t n, int64_t k, int64_t m, DType scales, float size,
                  std::set<std::string>& ran) {
  const QuantizedTensor q = weight(scheme, n, k, scales, size);
  return q.scheme.has_codebook() ? check(q, m, ran) : "";
}

// As files of others have them: the last group of a row may be a short one.
QuantizedTensor in_short_groups(const char* scheme, int64_t n, int64_t k) {
  QuantizedTensor q = weight("fp8_e4m3", n, k, DType::f32);
  q.scheme = parse_scheme(scheme);
  const int64_t groups = (k + q.scheme.group - 1) / q.scheme.group;
  q.scales = Tensor::from<float>(Shape{n, groups}, noise(n * groups, 5));
  return q;
}

TEST(TableKernels, ProductsAreTheDefinitionsBytesOnRaggedShapes) {
  std::set<std::string> ran;
  for (const char* scheme : kSchemes) {
    for (const int64_t n : kTableExtents) {
      for (const int64_t k : kTableExtents) {
        for (const int64_t m : kTableRows) {
          const DType scales = (n + k + m) % 3 == 0   ? DType::f32
                               : (n + k + m) % 3 == 1 ? DType::f16
                                                      : DType::bf16;
          ASSERT_EQ(check(scheme, n, k, m, scales, 1, ran), "");
        }
      }
    }
  }
  std::string line = "kernels that ran at " + std::string(cpu().isa) + ":";
  for (const std::string& name : ran) line += " " + name;
  std::printf("%s\n", line.c_str());
  EXPECT_GE(ran.size(), cpu().bits == 0 ? 1u : 3u) << line;
}

TEST(TableKernels, GroupsThatEndWithTheRowAreTheDefinitionsBytes) {
  std::set<std::string> ran;
  for (const char* scheme : {"fp8_e4m3:g8", "fp8_e4m3:g48", "fp8_e4m3:g128"}) {
    for (const int64_t n : {1, 64, 70}) {
      for (const int64_t k : {2, 31, 65, 127, 200, 1100}) {
        for (const int64_t m : {1, 3, 17})
          ASSERT_EQ(check(in_short_groups(scheme, n, k), m, ran), "");
      }
    }
  }
}

// Long rows are cut into blocks of inputs, and more scales than one super scale covers are needed.
TEST(TableKernels, LongRowsAndManyRows) {
  std::set<std::string> ran;
  for (const char* scheme : kSchemes) {
    for (const int64_t m : {1, 5, 100}) {
      ASSERT_EQ(check(scheme, 70, 3072, m, DType::f16, 1, ran), "");
      ASSERT_EQ(check(scheme, 3, 1536, m, DType::f32, 1, ran), "");
    }
  }
}

// --- tables under scales in two levels: what GGUF's codebooks become ---

// Super scales of both signs, 0 and subnormal ones among them; any byte below.
QuantizedTensor two_level_weight(const char* scheme, int64_t n, int64_t k) {
  QuantizedTensor q;
  q.scheme = parse_any_scheme(scheme);
  q.shape = Shape{n, k};
  q.codes = Tensor(DType::u8, Shape{n, packed_row_bytes(k, q.scheme.bits())});
  scatter_codes(q, static_cast<uint64_t>(n * 31 + k));
  Noise random(static_cast<uint64_t>(n + k));
  q.scales = Tensor(DType::i8, Shape{n, k / q.scheme.group_size(k)});
  for (int8_t& byte : q.scales.mutable_data<int8_t>()) byte = static_cast<int8_t>(random.next());
  q.super_scales = Tensor(DType::f32, Shape{n, k / kSuperBlock});
  constexpr float kOdd[] = {0, -0.0f, 0x1p-27f, -65504};
  size_t i = 0;
  for (float& v : q.super_scales->mutable_data<float>())
    v = i++ % 5 == 0 ? kOdd[i / 5 % 4] : random.real() * 0.01f;
  return q;
}

constexpr const char* kTwoLevels[] = {"iq1_s", "iq1_m",   "iq2_xxs", "iq2_xs",
                                      "iq2_s", "iq3_xxs", "iq3_s",   "iq4_xs"};

TEST(TableKernels, ScalesInTwoLevelsGiveTheDefinitionsBytes) {
  std::set<std::string> ran;
  for (const char* scheme : kTwoLevels) {
    for (const int64_t n : {1, 15, 16, 17, 64, 65, 130}) {
      for (const int64_t k : {256, 512, 1280}) {
        const QuantizedTensor q = two_level_weight(scheme, n, k);
        for (const int64_t m : {1, 2, 3, 4, 5, 16, 17, 33}) ASSERT_EQ(check(q, m, ran), "");
      }
    }
    for (const int64_t m : {1, 7, 100})
      ASSERT_EQ(check(two_level_weight(scheme, 70, 3072), m, ran), "");
  }
  EXPECT_EQ(ran.size(), 1u);
  std::printf("kernel that ran at %s: %s\n", std::string(cpu().isa).c_str(), ran.begin()->c_str());
}

// DESIGN section 3: at most 1.05 times the packed size.
TEST(TableKernels, ResidentBytesAreThePackedOnes) {
  for (const char* scheme : {"nf4", "fp4", "mxfp4", "nvfp4", "fp8_e4m3", "fp8_e5m2"}) {
    const QuantizedTensor q = weight(scheme, 256, 1024, DType::f16);
    std::vector<LinearMember> members;
    members.push_back({"w", q, std::nullopt});
    const LinearGroup group(std::move(members), LinearOptions{.threads = 1});
    EXPECT_LE(group.weight_bytes(), q.bytes() + q.bytes() / 20) << scheme;
    EXPECT_GE(group.weight_bytes(), q.bytes()) << scheme;
  }
}

// Scales that are subnormal, or so large that the products come near the end of f32.
TEST(TableKernels, TinyAndHugeScales) {
  std::set<std::string> ran;
  for (const char* scheme : kSchemes) {
    for (const float size : {1e-42f, 1e-38f, 1e-30f, 1e-6f, 1e6f, 1e30f, 1e37f})
      ASSERT_EQ(check(scheme, 17, 96, 2, DType::f32, size, ran), "") << size;
  }
}

}  // namespace
}  // namespace nibble
