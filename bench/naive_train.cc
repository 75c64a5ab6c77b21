#include "bench/naive_train.h"

#include <cmath>
#include <cstring>

#include "nibble/core/random.h"

namespace nibble::bench {
namespace {

constexpr int C = 16, H = 4, D = 4, F = 64, V = 27, T = 16;

struct Model {
  float wte[V][C], wpe[T][C], head[V][C];
  float wq[C][C], wk[C][C], wv[C][C], wo[C][C], w1[F][C], w2[C][F];
};
constexpr int kWeights = sizeof(Model) / sizeof(float);
static_assert(kWeights == 4192);

struct Activations {
  float e[T][C], x[T][C], h1[T][C], q[T][C], k[T][C], v[T][C], a[T][C], m[T][C], h2[T][C], f[T][F],
      y[T][C], p[T][V], att[H][T][T], re[T], r1[T], r2[T];
};

template <int N, int K>
void linear(const float (&w)[N][K], const float* x, float* y) {
  for (int i = 0; i < N; i++) {
    float s = 0;
    for (int j = 0; j < K; j++) s += w[i][j] * x[j];
    y[i] = s;
  }
}

template <int N, int K>
void linear_backward(const float (&w)[N][K], float (&dw)[N][K], const float* x, const float* dy,
                     float* dx) {
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < K; j++) {
      dw[i][j] += dy[i] * x[j];
      dx[j] += dy[i] * w[i][j];
    }
  }
}

float rms(const float* x, float* y) {
  float s = 0;
  for (int i = 0; i < C; i++) s += x[i] * x[i];
  const float r = 1.0f / sqrtf(s / C + 1e-5f);
  for (int i = 0; i < C; i++) y[i] = x[i] * r;
  return r;
}

// dx += gradient of rms at x.
void rms_backward(const float* x, float r, const float* dy, float* dx) {
  float s = 0;
  for (int i = 0; i < C; i++) s += dy[i] * x[i];
  s *= r * r / C;
  for (int i = 0; i < C; i++) dx[i] += r * (dy[i] - x[i] * s);
}

float forward(const Model& w, Activations& a, const int32_t* ids, int n) {
  float loss = 0;
  for (int t = 0; t < n; t++) {
    for (int i = 0; i < C; i++) a.e[t][i] = w.wte[ids[t]][i] + w.wpe[t][i];
    a.re[t] = rms(a.e[t], a.x[t]);
    a.r1[t] = rms(a.x[t], a.h1[t]);
    linear(w.wq, a.h1[t], a.q[t]);
    linear(w.wk, a.h1[t], a.k[t]);
    linear(w.wv, a.h1[t], a.v[t]);
    for (int h = 0; h < H; h++) {
      float* s = a.att[h][t];
      float top = -1e30f, sum = 0;
      for (int u = 0; u <= t; u++) {
        s[u] = 0;
        for (int d = 0; d < D; d++) s[u] += a.q[t][h * D + d] * a.k[u][h * D + d];
        s[u] *= 0.5f;
        if (s[u] > top) top = s[u];
      }
      for (int u = 0; u <= t; u++) sum += s[u] = expf(s[u] - top);
      for (int u = 0; u <= t; u++) s[u] /= sum;
      for (int d = 0; d < D; d++) {
        float o = 0;
        for (int u = 0; u <= t; u++) o += s[u] * a.v[u][h * D + d];
        a.a[t][h * D + d] = o;
      }
    }
    linear(w.wo, a.a[t], a.m[t]);
    for (int i = 0; i < C; i++) a.m[t][i] += a.x[t][i];
    a.r2[t] = rms(a.m[t], a.h2[t]);
    linear(w.w1, a.h2[t], a.f[t]);
    for (int i = 0; i < F; i++) a.f[t][i] = a.f[t][i] > 0 ? a.f[t][i] : 0;
    linear(w.w2, a.f[t], a.y[t]);
    for (int i = 0; i < C; i++) a.y[t][i] += a.m[t][i];
    linear(w.head, a.y[t], a.p[t]);
    float top = a.p[t][0], sum = 0;
    for (int i = 1; i < V; i++) top = a.p[t][i] > top ? a.p[t][i] : top;
    for (int i = 0; i < V; i++) sum += a.p[t][i] = expf(a.p[t][i] - top);
    for (int i = 0; i < V; i++) a.p[t][i] /= sum;
    loss -= logf(a.p[t][ids[t + 1]]);
  }
  return loss;
}

void backward(const Model& w, Model& g, const Activations& a, const int32_t* ids, int n,
              float scale) {
  float dx[T][C] = {}, dq[T][C] = {}, dk[T][C] = {}, dv[T][C] = {};
  for (int t = 0; t < n; t++) {
    float dlogits[V], df[F] = {}, dh[C] = {}, da[C] = {};
    for (int i = 0; i < V; i++) dlogits[i] = (a.p[t][i] - (i == ids[t + 1] ? 1.0f : 0.0f)) * scale;
    linear_backward(w.head, g.head, a.y[t], dlogits, dx[t]);
    linear_backward(w.w2, g.w2, a.f[t], dx[t], df);
    for (int i = 0; i < F; i++) df[i] = a.f[t][i] > 0 ? df[i] : 0;
    linear_backward(w.w1, g.w1, a.h2[t], df, dh);
    rms_backward(a.m[t], a.r2[t], dh, dx[t]);
    linear_backward(w.wo, g.wo, a.a[t], dx[t], da);
    for (int h = 0; h < H; h++) {
      const float* s = a.att[h][t];
      float ds[T], mean = 0;
      for (int u = 0; u <= t; u++) {
        ds[u] = 0;
        for (int d = 0; d < D; d++) {
          ds[u] += da[h * D + d] * a.v[u][h * D + d];
          dv[u][h * D + d] += s[u] * da[h * D + d];
        }
        mean += ds[u] * s[u];
      }
      for (int u = 0; u <= t; u++) {
        const float dscore = s[u] * (ds[u] - mean) * 0.5f;
        for (int d = 0; d < D; d++) {
          dq[t][h * D + d] += dscore * a.k[u][h * D + d];
          dk[u][h * D + d] += dscore * a.q[t][h * D + d];
        }
      }
    }
  }
  for (int t = 0; t < n; t++) {
    float dh[C] = {}, de[C] = {};
    linear_backward(w.wq, g.wq, a.h1[t], dq[t], dh);
    linear_backward(w.wk, g.wk, a.h1[t], dk[t], dh);
    linear_backward(w.wv, g.wv, a.h1[t], dv[t], dh);
    rms_backward(a.x[t], a.r1[t], dh, dx[t]);
    rms_backward(a.e[t], a.re[t], dx[t], de);
    for (int i = 0; i < C; i++) {
      g.wte[ids[t]][i] += de[i];
      g.wpe[t][i] += de[i];
    }
  }
}

}  // namespace

NaiveTrainer::NaiveTrainer(uint64_t seed)
    : weights_(kWeights), gradient_(kWeights), first_(kWeights), second_(kWeights) {
  PyRandom random(seed);
  for (float& w : weights_) w = static_cast<float>(random.gauss(0, 0.08));
}

float NaiveTrainer::step(const std::vector<std::vector<int32_t>>& names, size_t first, int batch,
                         float rate) {
  static Activations a;  // one trainer at a time: this is the naive version
  const Model& w = *reinterpret_cast<const Model*>(weights_.data());
  Model& g = *reinterpret_cast<Model*>(gradient_.data());
  memset(gradient_.data(), 0, sizeof(Model));
  int tokens = 0;
  for (int b = 0; b < batch; b++) {
    tokens += static_cast<int>(names[(first + static_cast<size_t>(b)) % names.size()].size()) - 1;
  }
  float loss = 0;
  for (int b = 0; b < batch; b++) {
    const auto& ids = names[(first + static_cast<size_t>(b)) % names.size()];
    const int n = static_cast<int>(ids.size()) - 1;
    loss += forward(w, a, ids.data(), n);
    backward(w, g, a, ids.data(), n, 1.0f / static_cast<float>(tokens));
  }
  ++steps_;
  const float c1 = 1 - powf(0.85f, static_cast<float>(steps_)),
              c2 = 1 - powf(0.99f, static_cast<float>(steps_));
  for (size_t i = 0; i < weights_.size(); i++) {
    first_[i] = 0.85f * first_[i] + 0.15f * gradient_[i];
    second_[i] = 0.99f * second_[i] + 0.01f * gradient_[i] * gradient_[i];
    weights_[i] -= rate * (first_[i] / c1) / (sqrtf(second_[i] / c2) + 1e-8f);
  }
  return loss / static_cast<float>(tokens);
}

}  // namespace nibble::bench
