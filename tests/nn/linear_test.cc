#include "nibble/nn/linear.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "nibble/core/aligned_memory.h"
#include "nibble/core/cpu.h"
#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/core/random.h"
#include "nibble/nn/embedding.h"
#include "nibble/quant/rtn.h"
#include "tests/nn/drawn.h"

namespace nibble {
namespace {

using namespace test;

Weight weight_of(const Tensor& w, std::string_view text) {
  const QuantScheme scheme = parse_scheme(text);
  if (scheme.type == NumberType::f32) return w;
  if (scheme.type == NumberType::f16) return convert(w, DType::f16);
  if (scheme.type == NumberType::bf16) return convert(w, DType::bf16);
  return quantize_rtn(w, scheme, {}, "w");
}

Tensor plain(const Weight& w) { return w.floats(); }

LinearGroup linear(const Weight& w, std::optional<Tensor> bias = std::nullopt,
                   bool on_the_fly = false) {
  std::vector<LinearMember> members;
  members.push_back({"w", w, std::move(bias)});
  return {std::move(members), LinearOptions{on_the_fly}};
}

std::vector<float> run(const LinearGroup& group, const std::vector<float>& x, int64_t m,
                       int threads) {
  std::vector<float> y(static_cast<size_t>(m * group.outputs(0)), -777.0f);
  Exec exec;
  exec.threads = threads;
  group.forward(x, m, y.data(), exec);
  return y;
}

// x as an a8 kernel sees it, in f64.
std::vector<double> seen(const std::vector<float>& x, int64_t k, bool a8) {
  std::vector<double> out(x.begin(), x.end());
  if (!a8) return out;
  for (size_t row = 0; row < x.size(); row += static_cast<size_t>(k)) {
    float largest = 0;
    for (size_t i = row; i < row + static_cast<size_t>(k); ++i)
      largest = std::max(largest, std::fabs(x[i]));
    const float scale = largest / 127;
    for (size_t i = row; i < row + static_cast<size_t>(k); ++i)
      out[i] = scale == 0 ? 0 : std::nearbyint(x[i] / scale) * static_cast<double>(scale);
  }
  return out;
}

const char* const kSchemes[] = {"f32",          "f16",         "bf16",
                                "int8",         "int8:tensor", "int8:asym",
                                "int8:g16",     "int8:a8",     "int8:tensor:a8",
                                "int8:asym:a8", "int8:g16:a8", "int8:g32:asym:a8",
                                "int7:a8",      "int6:g16",    "int5:g16:a8",
                                "int5",         "int4:g16",    "int4:g16:asym",
                                "int4:g16:a8",  "int4:a8",     "int4:g32:asym:a8",
                                "int3:g16",     "int3:g16:a8", "int2:g16:asym",
                                "int2:a8",      "ternary",     "ternary:g16:a8"};

void expect_near_f64(const std::string& text, int64_t n, int64_t k, int64_t m) {
  const Weight w = weight_of(drawn_matrix(n, k, 1), text);
  const auto b = drawn_noise(n, 3);
  const LinearGroup group = linear(w, Tensor::from<float>(Shape{n}, b));
  const auto x = drawn_noise(m * k, 2);
  const auto y = run(group, x, m, 2);
  const auto xs = seen(x, k, group.scheme(0).activations == ActivationType::a8);
  const Tensor dense = plain(w);
  const auto wd = dense.data<float>();
  for (int64_t r = 0; r < m; ++r) {
    for (int64_t j = 0; j < n; ++j) {
      double sum = b[static_cast<size_t>(j)];
      for (int64_t i = 0; i < k; ++i)
        sum += xs[static_cast<size_t>(r * k + i)] * wd[static_cast<size_t>(j * k + i)];
      ASSERT_NEAR(y[static_cast<size_t>(r * n + j)], sum, 1.2e-7 * static_cast<double>(k + 2) * 2)
          << text << " [" << n << ", " << k << "] row " << r << " output " << j << " by "
          << group.kernel_name(0);
    }
  }
}

TEST(Linear, AgreesWithDequantizeAndF64ForEveryScheme) {
  for (const char* text : kSchemes) {
    expect_near_f64(text, 27, 48, 5);
    expect_near_f64(text, 130, 160, 17);
    expect_near_f64(text, 3, 33, 2);
    expect_near_f64(text, 1, 1, 1);
  }
}

TEST(Linear, SameBytesForAnyNumberOfThreadsAndAnyBatchUpTo16) {
  constexpr int64_t n = 200, k = 320;
  const auto x = drawn_noise(16 * k, 5);
  for (const char* text : kSchemes) {
    const LinearGroup group = linear(weight_of(drawn_matrix(n, k, 4), text));
    std::vector<float> rows;  // each row on its own
    for (int64_t r = 0; r < 16; ++r) {
      const std::vector<float> one(x.begin() + r * k, x.begin() + (r + 1) * k);
      const auto y = run(group, one, 1, 1);
      rows.insert(rows.end(), y.begin(), y.end());
    }
    for (const int64_t m : {1, 2, 5, 16}) {
      const std::vector<float> some(x.begin(), x.begin() + m * k);
      for (const int threads : {1, 2, 3, 4, 7, 8}) {
        const auto y = run(group, some, m, threads);
        ASSERT_EQ(std::memcmp(y.data(), rows.data(), y.size() * sizeof(float)), 0)
            << text << " m " << m << " threads " << threads;
      }
    }
  }
}

TEST(Linear, SameBytesForAnyNumberOfThreadsWithManyRows) {
  constexpr int64_t n = 150, k = 128, m = 250;
  const auto x = drawn_noise(m * k, 5);
  for (const char* text : {"f32", "int8:a8", "int4:g32:a8", "int4:g32"}) {
    const LinearGroup group = linear(weight_of(drawn_matrix(n, k, 4), text));
    const auto one = run(group, x, m, 1);
    for (const int threads : {2, 3, 4, 7, 8})
      EXPECT_EQ(std::memcmp(one.data(), run(group, x, m, threads).data(), one.size() * 4), 0)
          << text << threads;
  }
}

TEST(Linear, MembersOfAGroupGiveWhatTheyGiveAlone) {
  constexpr int64_t k = 64, m = 3;
  const char* const schemes[] = {"int8:a8", "int4:g16:asym:a8", "f32", "int3:g16", "int8:g32:a8"};
  std::vector<LinearMember> members;
  for (int64_t i = 0; i < 5; ++i) {
    members.push_back(
        {std::string("w") + std::to_string(i),
         weight_of(drawn_matrix(10 + 40 * i, k, 7 + static_cast<uint64_t>(i)), schemes[i]),
         std::nullopt});
  }
  const LinearGroup group(members, {});
  const auto x = drawn_noise(m * k, 9);
  std::vector<std::vector<float>> y;
  std::vector<float*> into;
  for (size_t i = 0; i < 5; ++i) y.emplace_back(static_cast<size_t>(m * group.outputs(i)));
  for (auto& v : y) into.push_back(v.data());
  group.forward(x, m, into, Exec{});
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(group.name(i), "w" + std::to_string(i));
    EXPECT_EQ(y[i], run(linear(members[i].weight), x, m, 1)) << schemes[i];
  }
}

TEST(Linear, GivesItsSourceBackBitForBitAndHoldsItOnce) {
  for (const char* text : kSchemes) {
    const Weight w = weight_of(drawn_matrix(256, 320, 11), text);
    const LinearGroup group = linear(w);
    const Weight back = group.source(0);
    const auto same = [&](const Tensor& a, const Tensor& b) {
      ASSERT_EQ(a.shape(), b.shape()) << text;
      ASSERT_EQ(a.dtype(), b.dtype()) << text;
      EXPECT_EQ(std::memcmp(a.raw(), b.raw(), a.bytes()), 0) << text;
    };
    if (w.is_quantized()) {
      const QuantizedTensor &q = w.quantized(), &r = back.quantized();
      EXPECT_EQ(r.scheme, q.scheme);
      same(r.codes, q.codes);
      same(r.scales, q.scales);
      if (q.zeros) same(*r.zeros, *q.zeros);
    } else {
      same(back.plain(), w.plain());
    }
    EXPECT_LE(static_cast<double>(group.memory_bytes()), 1.05 * static_cast<double>(w.bytes()))
        << text;
  }
}

TEST(Linear, WeightRowsAreDequantizedRows) {
  for (const char* text : kSchemes) {
    const Weight w = weight_of(drawn_matrix(70, 96, 12), text);
    const LinearGroup group = linear(w);
    const Tensor dense = plain(w);
    std::vector<float> row(96);
    for (const int64_t j : {0, 1, 63, 64, 69}) {
      group.weight_row(0, j, row);
      EXPECT_EQ(std::memcmp(row.data(), dense.data<float>().data() + j * 96, 96 * 4), 0) << text;
    }
  }
}

// The end of a product is what the function gives afterwards; the residual may be the output.
TEST(Linear, EndsAndResidualsAreApplied) {
  constexpr int64_t n = 100, k = 32, m = 7;
  const auto x = drawn_noise(m * k, 2);
  for (const char* text : {"f32", "int8:a8", "int4:g32"}) {
    const Weight gate_weight = weight_of(drawn_matrix(n, k, 1), text);
    const Weight up_weight = weight_of(drawn_matrix(n, k, 2), text);
    const LinearGroup up = linear(up_weight);
    const auto gate = run(linear(gate_weight), x, m, 1), plain_up = run(up, x, m, 1);
    const LinearGroup both({{"gate", gate_weight, std::nullopt}, {"up", up_weight, std::nullopt}},
                           {});
    for (const int threads : {1, 3}) {
      const auto product = [&](const LinearGroup& group, const LinearOutput& out) {
        const AlignedMemory workspace(group.workspace_bytes(m, threads));
        run_team(threads,
                 [&](Team& team) { group.forward(x.data(), m, out, workspace.as(), team); });
      };
      std::vector<float> y(n * m, 0.5f), g(n * m);
      float* const one[] = {y.data()};
      product(up, {one, y.data()});
      for (size_t i = 0; i < y.size(); ++i) EXPECT_FLOAT_EQ(y[i], plain_up[i] + 0.5f) << text;
      product(up, {one, nullptr, LinearEnd::relu});
      for (size_t i = 0; i < y.size(); ++i) EXPECT_EQ(y[i], std::max(plain_up[i], 0.0f)) << text;
      product(up, {one, nullptr, LinearEnd::gelu});
      for (size_t i = 0; i < y.size(); ++i)
        EXPECT_NEAR(y[i], 0.5 * plain_up[i] * (1 + std::erf(plain_up[i] / std::sqrt(2.0))), 1e-5);
      float* const two[] = {g.data(), y.data()};
      product(both, {two, nullptr, LinearEnd::silu_gate});
      for (size_t i = 0; i < y.size(); ++i)
        EXPECT_NEAR(y[i], plain_up[i] * gate[i] / (1 + std::exp(-gate[i])), 1e-5) << text;
    }
  }
}

TEST(Linear, DequantizingOnTheFlyLeavesTheInputAlone) {
  const Weight w = weight_of(drawn_matrix(40, 64, 1), "int8:a8");
  const LinearGroup fly = linear(w, std::nullopt, true);
  const auto x = drawn_noise(64, 2);
  const Tensor dense = plain(w);
  EXPECT_EQ(run(fly, x, 1, 1), run(linear(dense), x, 1, 1));
  EXPECT_NE(run(fly, x, 1, 1), run(linear(w), x, 1, 1));
  EXPECT_NE(fly.kernel_name(0), linear(w).kernel_name(0));
}

TEST(Linear, RowsOfZerosGiveTheBiasAndNanStaysNan) {
  const LinearGroup group = linear(weight_of(drawn_matrix(5, 32, 1), "int8:asym:a8"),
                                   Tensor::from<float>(Shape{5}, drawn_noise(5, 2)));
  std::vector<float> x(64, 0.0f);
  x[40] = std::nanf("");
  const auto y = run(group, x, 2, 1);
  const auto b = drawn_noise(5, 2);
  for (size_t j = 0; j < 5; ++j) {
    EXPECT_EQ(y[j], b[j]);
    EXPECT_TRUE(std::isnan(y[5 + j]));
  }
}

// The kernel that each cap must give; a new kernel changes this table knowingly.
TEST(Linear, TheKernelIsTheBestThatTheCapAllows) {
  const uint32_t bits = cpu().bits;
  const bool avx2 = (bits & kAvx2) != 0, avx512 = (bits & kAvx512) != 0,
             vnni = (bits & kAvx512Vnni) != 0, avxvnni = (bits & kAvxVnni) != 0,
             amx = (bits & kAmx) != 0;
  const std::string wide = avx512 ? "avx512" : avx2 ? "avx2" : "ref";
  const std::string integer = amx       ? "amx"
                              : vnni    ? "avx512vnni"
                              : avxvnni ? "avxvnni"
                              : avx2    ? "avx2"
                                        : "ref";
  const std::string narrow = integer == "ref" ? "gemm_i8_ref" : "gemm_narrow_a8_" + integer;
  const auto name = [](const char* text, bool on_the_fly = false) {
    return std::string(
        linear(weight_of(drawn_matrix(4, 32, 1), text), std::nullopt, on_the_fly).kernel_name(0));
  };
  EXPECT_EQ(name("f32"), "gemm_f32_" + wide);
  EXPECT_EQ(name("bf16"), wide == "ref" ? "gemm_f32_ref" : "gemm_bf16_" + wide);
  EXPECT_EQ(name("int8:a8"), "gemm_i8_" + integer);
  EXPECT_EQ(name("int8:g16:asym:a8"), "gemm_i8_" + integer);
  EXPECT_EQ(name("int4:g16:a8"), integer == "ref" ? "gemm_i8_ref" : "gemm_i4_" + integer);
  EXPECT_EQ(name("int3:g16:a8"), narrow);
  EXPECT_EQ(name("ternary:a8"), narrow);
  EXPECT_EQ(name("int8"), wide == "ref" ? "gemm_dequant_ref" : "gemm_w8_" + wide);
  EXPECT_EQ(name("int8:a8", true), wide == "ref" ? "gemm_dequant_ref" : "gemm_w8_" + wide);
  EXPECT_EQ(name("int3:g16"), wide == "ref" ? "gemm_dequant_ref" : "gemm_narrow_f32_" + wide);
  EXPECT_EQ(name("int4:g16"), wide == "ref" ? "gemm_dequant_ref" : "gemm_w4_" + wide);
}

TEST(Linear, RefusesPartsThatDoNotFit) {
  const Tensor w = drawn_matrix(4, 8, 1);
  EXPECT_THROW(linear(w, Tensor(DType::f32, {5})), Error);
  EXPECT_THROW(linear(w, Tensor(DType::f16, {4})), Error);
  EXPECT_THROW(linear(Tensor(DType::i32, {4, 8})), Error);
  EXPECT_THROW(linear(Tensor(DType::f32, {4, 0})), Error);
  EXPECT_THROW(linear(Tensor(DType::f32, {4})), Error);
  std::vector<LinearMember> members;
  members.push_back({"a", w, std::nullopt});
  members.push_back({"b", drawn_matrix(4, 9, 1), std::nullopt});
  try {
    LinearGroup(std::move(members), {});
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.where(), "tensor \"b\"");
  }
  QuantizedTensor q = weight_of(w, "int8").quantized();
  q.codes = Tensor(DType::u8, {4, 4});
  EXPECT_THROW(linear(q), Error);
}

TEST(Embedding, ReadsRowsOfPlainAndQuantizedTables) {
  for (const char* text : kSchemes) {
    const Weight w = weight_of(drawn_matrix(7, 32, 3), text);
    const Embedding table(w);
    EXPECT_EQ(table.rows(), 7);
    EXPECT_EQ(table.width(), 32);
    EXPECT_EQ(table.memory_bytes(), w.bytes());
    const Tensor dense = plain(w);
    std::vector<float> row(32), sum(32, 1.0f);
    table.lookup(6, row);
    table.add(6, sum);
    for (size_t i = 0; i < 32; ++i) {
      EXPECT_EQ(row[i], dense.data<float>()[6 * 32 + i]) << text;
      EXPECT_EQ(sum[i], 1.0f + row[i]) << text;
    }
  }
}

}  // namespace
}  // namespace nibble
