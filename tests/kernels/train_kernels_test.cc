// Every training kernel of this machine against the definition in kernels/ref, on ragged shapes.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "nibble/core/cpu.h"
#include "nibble/core/random.h"
#include "nibble/kernels/onednn/product.h"
#include "nibble/kernels/train.h"

namespace nibble {
namespace {

using Floats = std::vector<float>;

const TrainOps<float>& ref() { return ref_train_ops_f32(); }

Floats random_floats(int64_t n, uint64_t seed, double sigma = 1) {
  PyRandom random(seed);
  Floats out(static_cast<size_t>(n + kTrainSlack), 7.5f);  // the slack must not matter
  for (int64_t i = 0; i < n; ++i) out[static_cast<size_t>(i)] = float(random.gauss(0, sigma));
  return out;
}

// All elements, the slack included: a kernel must not write there either.
void expect_near(const Floats& got, const Floats& want, double tolerance, const char* what) {
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < got.size(); ++i) {
    ASSERT_NEAR(got[i], want[i], tolerance * (1 + std::abs(want[i]))) << what << " element " << i;
  }
}

class TrainKernels : public testing::TestWithParam<const TrainOps<float>*> {
 protected:
  const TrainOps<float>& ops() const { return *GetParam(); }
};

TEST_P(TrainKernels, Product) {
  for (int64_t m : {1, 2, 5, 7, 16, 27, 33}) {
    for (int64_t n : {1, 7, 8, 15, 16, 17, 27, 32, 48, 64, 75, 128}) {
      for (int64_t k : {1, 3, 16, 70}) {
        for (bool transposed : {false, true}) {
          for (bool accumulate : {false, true}) {
            const Floats a = random_floats(m * k, 1), b = random_floats(k * n, 2);
            Floats got = random_floats(m * (n + 3), 3), want = got;
            TrainProduct<float> g{
                m,        n, k,       a.data(), transposed ? 1 : k, transposed ? m : 1,
                b.data(), n, nullptr, n + 3,    accumulate};
            g.c = got.data();
            ops().product(g);
            g.c = want.data();
            ref().product(g);
            SCOPED_TRACE(testing::Message() << m << " " << n << " " << k << " " << transposed);
            expect_near(got, want, 1.2e-7 * double(k + 1) * 16, "product");
          }
        }
      }
    }
  }
}

TEST_P(TrainKernels, Transpose) {
  for (int64_t n : {1, 15, 16, 17, 27, 64}) {
    for (int64_t k : {1, 16, 19}) {
      const Floats from = random_floats(n * k, 1);
      Floats got = random_floats(k * (n + 5), 2), want = got;
      ops().transpose(n, k, from.data(), got.data(), n + 5);
      ref().transpose(n, k, from.data(), want.data(), n + 5);
      EXPECT_EQ(got, want);
      ops().transpose_rows(n, k - 1, from.data(), k, got.data(), n + 5);
      ref().transpose_rows(n, k - 1, from.data(), k, want.data(), n + 5);
      EXPECT_EQ(got, want);
    }
  }
}

TEST_P(TrainKernels, NormAndItsGradient) {
  for (int64_t width : {1, 4, 7, 8, 15, 16, 17, 48, 64, 100}) {
    for (bool layer : {false, true}) {
      for (bool affine : {false, true}) {
        for (bool accumulate : {false, true}) {
          const int64_t rows = 5;
          const Floats x = random_floats(rows * width, 1, 3), dy = random_floats(rows * width, 2);
          const Floats gain = random_floats(width, 3), bias = random_floats(width, 4);
          const auto run = [&](const TrainOps<float>& o, std::vector<Floats>& out) {
            out = {random_floats(rows * width, 5), random_floats(rows, 6),
                   random_floats(rows, 7),         random_floats(rows * width, 8),
                   random_floats(width, 9),        random_floats(width, 10)};
            const TrainNorm<float> f{rows,
                                     width,
                                     layer,
                                     1e-5f,
                                     x.data(),
                                     affine ? gain.data() : nullptr,
                                     affine ? bias.data() : nullptr,
                                     out[0].data(),
                                     out[1].data(),
                                     out[2].data()};
            o.norm(f);
            const Floats y = out[0];
            o.norm_backward(f, {dy.data(), out[3].data(), affine ? out[4].data() : nullptr,
                                affine ? out[5].data() : nullptr, accumulate});
            out[0] = y;  // backward may use y as scratch
          };
          std::vector<Floats> got, want;
          run(ops(), got);
          run(ref(), want);
          SCOPED_TRACE(testing::Message() << width << " " << layer << affine << accumulate);
          // A layer norm of one element divides by sqrt(eps): its gradient is amplified.
          const double tolerance = layer && width == 1 ? 1e-2 : 3e-5;
          const char* names[] = {"y", "mean", "rstd", "dx", "dgain", "dbias"};
          for (size_t i = 0; i < got.size(); ++i) expect_near(got[i], want[i], tolerance, names[i]);
        }
      }
    }
  }
}

TEST_P(TrainKernels, AttentionAndItsGradient) {
  const std::pair<int64_t, int64_t> shapes[] = {{4, 4},  {2, 4},  {6, 8}, {3, 12}, {4, 16},
                                                {4, 32}, {1, 64}, {2, 5}, {1, 3},  {2, 8}};
  for (const auto& [heads, head_dim] : shapes) {
    for (int64_t tokens : {1, 2, 7, 16, 65, 300}) {
      if (tokens == 300 && heads != 4) continue;
      const int64_t width = heads * head_dim;
      const Floats qkv = random_floats(tokens * 3 * width, 1);
      const Floats dout = random_floats(tokens * width, 2);
      const auto run = [&](const TrainOps<float>& o, std::vector<Floats>& out) {
        out = {random_floats(tokens * width, 3),
               random_floats(tokens * (tokens + 1) / 2 * heads, 4),
               random_floats(tokens * 3 * width, 5)};
        const TrainAttention<float> a{
            tokens,     heads,         head_dim,     1 / std::sqrt(float(head_dim)),
            qkv.data(), out[0].data(), out[1].data()};
        o.attention(a);
        o.attention_backward(a, dout.data(), out[2].data());
      };
      std::vector<Floats> got, want;
      run(ops(), got);
      run(ref(), want);
      SCOPED_TRACE(testing::Message() << heads << "x" << head_dim << ", " << tokens << " tokens");
      expect_near(got[0], want[0], 1e-5, "out");
      expect_near(got[1], want[1], 1e-5, "p");
      expect_near(got[2], want[2], 3e-5, "dqkv");
    }
  }
}

TEST_P(TrainKernels, AttentionOfFarApartScores) {
  const int64_t tokens = 3, heads = 4, head_dim = 4, width = 16;
  Floats qkv = random_floats(tokens * 3 * width, 1, 40);
  Floats got = random_floats(tokens * width, 2), want = got, p(1000), q(1000);
  ops().attention({tokens, heads, head_dim, 0.5f, qkv.data(), got.data(), p.data()});
  ref().attention({tokens, heads, head_dim, 0.5f, qkv.data(), want.data(), q.data()});
  expect_near(got, want, 1e-4, "out");
}

TEST_P(TrainKernels, Activations) {
  for (int64_t n : {1, 7, 8, 16, 31, 100}) {
    const Floats x = random_floats(n, 1, 4), dy = random_floats(n, 2);
    const auto run = [&](const TrainOps<float>& o, std::vector<Floats>& out) {
      out.assign(4, random_floats(n, 3));
      o.relu(n, x.data(), out[0].data());
      o.relu_backward(n, out[0].data(), dy.data(), out[1].data());
      o.gelu(n, x.data(), out[2].data());
      o.gelu_backward(n, x.data(), dy.data(), out[3].data());
    };
    std::vector<Floats> got, want;
    run(ops(), got);
    run(ref(), want);
    for (size_t i = 0; i < got.size(); ++i) expect_near(got[i], want[i], 2e-6, "activation");
  }
}

TEST_P(TrainKernels, SoftmaxAndItsGradient) {
  for (int64_t n : {1, 2, 8, 16, 27, 65, 300}) {
    const Floats dy = random_floats(n, 2);
    const auto run = [&](const TrainOps<float>& o, std::vector<Floats>& out) {
      out = {random_floats(n, 1, 10), dy};
      o.softmax(n, 0.3f, out[0].data());
      o.softmax_backward(n, 0.3f, out[0].data(), out[1].data());
    };
    std::vector<Floats> got, want;
    run(ops(), got);
    run(ref(), want);
    for (size_t i = 0; i < got.size(); ++i) expect_near(got[i], want[i], 2e-6, "softmax");
  }
}

TEST_P(TrainKernels, CrossEntropy) {
  for (int64_t n : {1, 2, 8, 16, 27, 65, 300}) {
    const int64_t rows = 6, ld = n + 2;
    const Floats logits = random_floats(rows * ld, 1, 10);
    std::vector<int32_t> target;
    for (int64_t r = 0; r < rows; ++r) target.push_back(static_cast<int32_t>(r * 5 % n));
    const auto run = [&](const TrainOps<float>& o, std::vector<Floats>& out) {
      out = {logits, random_floats(rows, 2), random_floats(rows, 3)};
      o.cross_entropy(rows, n, ld, target.data(), 0.25f, out[0].data(), out[1].data(),
                      out[2].data());
    };
    std::vector<Floats> got, want;
    run(ops(), got);
    run(ref(), want);
    for (size_t i = 0; i < got.size(); ++i) expect_near(got[i], want[i], 2e-6, "cross entropy");
  }
}

TEST_P(TrainKernels, SumsAndAdam) {
  for (int64_t n : {1, 8, 27, 48}) {
    const int64_t rows = 4;
    const Floats x = random_floats(rows * n, 1), bias = random_floats(n, 2);
    std::vector<Floats> got = {x, bias}, want = got;
    ops().add_bias(rows, n, bias.data(), got[0].data());
    ref().add_bias(rows, n, bias.data(), want[0].data());
    ops().bias_backward(rows, n, x.data(), got[1].data());
    ref().bias_backward(rows, n, x.data(), want[1].data());
    for (size_t i = 0; i < got.size(); ++i) expect_near(got[i], want[i], 1e-6, "bias");
  }
  const int64_t n = 48;
  const Floats gradient = random_floats(n, 1);
  std::vector<Floats> got = {random_floats(n, 2), random_floats(n, 3), random_floats(n, 4)};
  for (float& v : got[1]) v = std::abs(v);
  std::vector<Floats> want = got;
  const TrainAdam<float> o{0.01f, 0.85f, 0.99f, 1e-8f, 1.4f, 9.0f, 1e-3f, 0.5f};
  ops().adam(o, n, gradient.data(), got[0].data(), got[1].data(), got[2].data());
  ref().adam(o, n, gradient.data(), want[0].data(), want[1].data(), want[2].data());
  ops().add(n, gradient.data(), got[0].data());
  ref().add(n, gradient.data(), want[0].data());
  for (size_t i = 0; i < got.size(); ++i) expect_near(got[i], want[i], 1e-6, "adam");
}

std::vector<const TrainOps<float>*> runnable() {
  std::vector<const TrainOps<float>*> out = {&ref_train_ops_f32()};
#if defined(__x86_64__)
  if ((cpu().bits & kAvx2) != 0) out.push_back(&avx2_train_ops());
  if ((cpu().bits & kAvx512) != 0) out.push_back(&avx512_train_ops());
#endif
  return out;
}

// Shapes large enough for oneDNN, a read as it is and transposed, c overwritten and added to.
TEST(TrainProducts, LargeOnesAgreeWithTheDefinition) {
  constexpr int64_t kM = 37, kN = 700, kK = 520;
  PyRandom random(4);
  std::vector<float> a(kM * kK + kTrainSlack), b(kK * kN + kTrainSlack);
  for (float& v : a) v = static_cast<float>(random.gauss(0, 1));
  for (float& v : b) v = static_cast<float>(random.gauss(0, 1));
  for (const bool transposed : {false, true}) {
    for (const bool accumulate : {false, true}) {
      std::vector<float> expected(kM * kN + kTrainSlack, 1.0f), got = expected;
      TrainProduct<float> p{kM,
                            kN,
                            kK,
                            a.data(),
                            transposed ? 1 : kK,
                            transposed ? kM : 1,
                            b.data(),
                            kN,
                            expected.data(),
                            kN,
                            accumulate};
      ASSERT_TRUE(onednn_is_better(p));
      ref_train_ops_f32().product(p);
      p.c = got.data();
      best_train_ops().product(p);
      for (int64_t i = 0; i < kM * kN; ++i) {
        const auto at = static_cast<size_t>(i);
        ASSERT_NEAR(got[at], expected[at], 2e-4) << transposed << accumulate << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Isa, TrainKernels, testing::ValuesIn(runnable()),
                         [](const auto& each) { return std::string(each.param->name); });

}  // namespace
}  // namespace nibble
