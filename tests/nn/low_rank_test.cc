// Low-rank changes beside packed weights: what they add, at which cost, and that they come back.
#include "nibble/quant/low_rank.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "nibble/nn/embedding.h"
#include "nibble/nn/linear.h"
#include "nibble/quant/rtn.h"
#include "tests/nn/drawn.h"

namespace nibble {
namespace {

using namespace test;

std::shared_ptr<const LowRank> thin_change(int64_t n, int64_t k, int64_t r, uint64_t seed) {
  return std::make_shared<LowRank>(LowRank{drawn_matrix(r, k, seed), drawn_matrix(n, r, seed + 1)});
}

Weight stored_in(const std::string& scheme, int64_t n, int64_t k, uint64_t seed) {
  const Tensor w = drawn_matrix(n, k, seed);
  return scheme == "f32" ? Weight(w) : Weight(quantize_rtn(w, parse_scheme(scheme), {}, "w"));
}

std::vector<std::vector<float>> products(const LinearGroup& group, const std::vector<float>& x,
                                         int64_t m, int threads) {
  std::vector<std::vector<float>> y;
  std::vector<float*> to;
  for (size_t i = 0; i < group.size(); ++i)
    y.emplace_back(static_cast<size_t>(m * group.outputs(i)), -777.0f);
  for (auto& v : y) to.push_back(v.data());
  Exec exec;
  exec.threads = threads;
  group.forward(x, m, to, exec);
  return y;
}

// Of a group of q (changed), k (not) and v (changed, another rank).
LinearGroup three_members(const std::string& scheme, int64_t k, bool changed) {
  std::vector<LinearMember> members;
  const int64_t outputs[] = {130, 64, 65}, ranks[] = {8, 0, 70};
  for (size_t i = 0; i < 3; ++i) {
    Weight w = stored_in(scheme, outputs[i], k, 10 * i);
    if (changed && ranks[i] > 0) w = Weight(w, thin_change(outputs[i], k, ranks[i], 100 + 10 * i));
    members.push_back({"w" + std::to_string(i), w, std::nullopt});
  }
  return {std::move(members), LinearOptions{}};
}

TEST(LowRank, IsAddedToTheProductsOfItsMemberAlone) {
  const int64_t k = 96;
  for (const std::string scheme : {"f32", "int4:g32", "nf4:g64", "int8:a8"}) {
    const LinearGroup with = three_members(scheme, k, true),
                      without = three_members(scheme, k, false);
    for (const int64_t m : {1, 3, 5, 100}) {
      const auto x = drawn_noise(m * k, 7);
      const auto y = products(with, x, m, 2), base = products(without, x, m, 2);
      EXPECT_EQ(y[1], base[1]);
      for (const size_t member : {size_t{0}, size_t{2}}) {
        const auto change = with.source(member).added();
        ASSERT_NE(change, nullptr);
        const auto a = change->a.data<float>(), b = change->b.data<float>();
        const auto r = static_cast<size_t>(change->rank()),
                   n = y[member].size() / static_cast<size_t>(m);
        for (size_t i = 0; i < y[member].size(); ++i) {
          double sum = base[member][i], size = std::abs(sum);
          for (size_t j = 0; j < r; ++j) {
            double t = 0, t_size = 0;
            for (size_t c = 0; c < static_cast<size_t>(k); ++c) {
              const double term =
                  double{x[i / n * static_cast<size_t>(k) + c]} * a[j * static_cast<size_t>(k) + c];
              t += term;
              t_size += std::abs(term);
            }
            sum += t * b[i % n * r + j];
            size += t_size * std::abs(b[i % n * r + j]);
          }
          // Each of k + r + 2 additions rounds once.
          const double limit = size * static_cast<double>(k + change->rank() + 2) * 0x1p-24;
          ASSERT_NEAR(y[member][i], sum, limit) << scheme << " m " << m << " output " << i;
        }
      }
    }
  }
}

TEST(LowRank, GivesTheSameBytesForAnyThreadsAndRows) {
  const int64_t k = 96;
  for (const std::string scheme : {"f32", "int4:g32", "int8:a8"}) {
    const LinearGroup group = three_members(scheme, k, true);
    const auto x = drawn_noise(16 * k, 7);
    const auto all = products(group, x, 16, 1);
    EXPECT_EQ(products(group, x, 16, 2), all);
    EXPECT_EQ(products(group, x, 16, 5), all);
    for (const int64_t row : {0, 9, 15}) {
      const std::vector<float> one(x.begin() + row * k, x.begin() + (row + 1) * k);
      const auto y = products(group, one, 1, 3);
      for (size_t i = 0; i < y.size(); ++i) {
        const auto from = all[i].begin() + row * group.outputs(i);
        EXPECT_TRUE(std::equal(y[i].begin(), y[i].end(), from)) << scheme << " row " << row;
      }
    }
  }
}

TEST(LowRank, ComesBackAsItWas) {
  const Weight w(stored_in("int4:g32", 70, 96, 1), thin_change(70, 96, 5, 2));
  const LinearGroup group({{"w", w, std::nullopt}}, {});
  const Weight back = group.source(0);
  EXPECT_TRUE(back.is_quantized());
  EXPECT_TRUE(std::ranges::equal(back.added()->a.data<float>(), w.added()->a.data<float>()));
  EXPECT_TRUE(std::ranges::equal(back.added()->b.data<float>(), w.added()->b.data<float>()));
  std::vector<float> row(96), expected(96);
  group.weight_row(0, 69, row);
  w.row(69, expected);
  EXPECT_EQ(row, expected);
}

TEST(LowRank, ABaseStaysPacked) {
  const int64_t n = 1024, k = 1024;
  const Weight base = stored_in("nf4:g64", n, k, 1);
  const LinearGroup alone({{"w", base, std::nullopt}}, {});
  const LinearGroup group({{"w", Weight(base, thin_change(n, k, 8, 2)), std::nullopt}}, {});
  EXPECT_EQ(group.kernel_name(0), alone.kernel_name(0));
  // A is filled up to a slab of 64 rows.
  EXPECT_EQ(group.memory_bytes() - alone.memory_bytes(), sizeof(float) * (64 * k + 8 * n));
}

TEST(LowRank, WeightsWithOneAreTheirSum) {
  for (const std::string scheme : {"f32", "int8"}) {
    const Weight base = stored_in(scheme, 70, 33, 1);
    const Tensor before = base.floats().clone();
    const auto one = thin_change(70, 33, 3, 2), other = thin_change(70, 33, 2, 8);
    const Weight w(base, std::make_shared<LowRank>(sum(*one, *other)));
    EXPECT_EQ(w.added()->rank(), 5);
    const Tensor whole = w.floats(2);
    EXPECT_TRUE(std::ranges::equal(base.floats().data<float>(), before.data<float>()));
    std::vector<float> row(33), expected(33), looked(33);
    for (int64_t i = 0; i < 70; ++i) {
      w.row(i, row);
      EXPECT_TRUE(std::equal(row.begin(), row.end(), whole.data<float>().begin() + i * 33));
      base.row(i, expected);
      one->add_row(i, expected);
      other->add_row(i, expected);
      for (size_t c = 0; c < 33; ++c) EXPECT_NEAR(row[c], expected[c], 1e-6);
      Embedding(w).lookup(i, looked);
      EXPECT_EQ(looked, row);
    }
    EXPECT_EQ(w.bytes(), base.bytes() + sizeof(float) * 5 * (70 + 33));
    EXPECT_EQ(w.stored_as(), base.stored_as() + " + rank 5");
  }
}

// Who asks for the codes alone would lose the change without a word.
TEST(LowRank, AWeightWithOneIsNeitherPlainNorQuantizedAlone) {
  const Weight plain(stored_in("f32", 4, 4, 1), thin_change(4, 4, 1, 2));
  const Weight packed(stored_in("int8", 4, 4, 1), thin_change(4, 4, 1, 2));
  EXPECT_THROW((void)plain.plain(), std::logic_error);
  EXPECT_THROW((void)packed.quantized(), std::logic_error);
  EXPECT_NO_THROW((void)packed.base().quantized());
}

}  // namespace
}  // namespace nibble
