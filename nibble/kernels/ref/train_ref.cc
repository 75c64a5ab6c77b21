// The definition of the training kernels: one obvious loop each.
#include <algorithm>
#include <cmath>

#include "nibble/kernels/train.h"

namespace nibble {
namespace {

template <class T>
void product(const TrainProduct<T>& g) {
  for (int64_t i = 0; i < g.m; ++i) {
    for (int64_t j = 0; j < g.n; ++j) {
      T sum = g.accumulate ? g.c[i * g.ldc + j] : T{0};
      for (int64_t p = 0; p < g.k; ++p) {
        sum += g.a[i * g.a_row + p * g.a_column] * g.b[p * g.ldb + j];
      }
      g.c[i * g.ldc + j] = sum;
    }
  }
}

template <class T>
void transpose(int64_t n, int64_t k, const T* from, int64_t from_ld, T* to, int64_t ld) {
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < k; ++j) to[j * ld + i] = from[i * from_ld + j];
  }
}

template <class T>
void norm(const TrainNorm<T>& f) {
  const T count = static_cast<T>(f.width);
  for (int64_t r = 0; r < f.rows; ++r) {
    const T* x = f.x + r * f.width;
    T mean = 0, square = 0;
    if (f.subtract_mean) {
      for (int64_t i = 0; i < f.width; ++i) mean += x[i];
      mean /= count;
    }
    for (int64_t i = 0; i < f.width; ++i) square += (x[i] - mean) * (x[i] - mean);
    const T rstd = T{1} / std::sqrt(square / count + f.eps);
    for (int64_t i = 0; i < f.width; ++i) {
      const T gain = f.gain != nullptr ? f.gain[i] : T{1};
      const T bias = f.bias != nullptr ? f.bias[i] : T{0};
      f.y[r * f.width + i] = (x[i] - mean) * rstd * gain + bias;
    }
    f.mean[r] = mean;
    f.rstd[r] = rstd;
  }
}

template <class T>
void norm_backward(const TrainNorm<T>& f, const TrainNormGradient<T>& g) {
  const T count = static_cast<T>(f.width);
  for (int64_t r = 0; r < f.rows; ++r) {
    const T *x = f.x + r * f.width, *dy = g.dy + r * f.width;
    const auto normal = [&](int64_t i) { return (x[i] - f.mean[r]) * f.rstd[r]; };
    const auto slope = [&](int64_t i) { return f.gain != nullptr ? dy[i] * f.gain[i] : dy[i]; };
    T sum = 0, dot = 0;
    for (int64_t i = 0; i < f.width; ++i) {
      sum += slope(i);
      dot += slope(i) * normal(i);
      if (g.dgain != nullptr) g.dgain[i] += dy[i] * normal(i);
      if (g.dbias != nullptr) g.dbias[i] += dy[i];
    }
    const T mean_slope = f.subtract_mean ? sum / count : T{0};
    for (int64_t i = 0; i < f.width; ++i) {
      const T dx = f.rstd[r] * (slope(i) - mean_slope - normal(i) * (dot / count));
      T& out = g.dx[r * f.width + i];
      out = g.accumulate ? out + dx : dx;
    }
  }
}

template <class T>
struct HeadView {
  explicit HeadView(const TrainAttention<T>& a) : width(a.heads * a.head_dim), ld(3 * width) {}
  int64_t width, ld;
};

template <class T>
T* probabilities(const TrainAttention<T>& a, int64_t t, int64_t h) {
  return a.p + t * (t + 1) / 2 * a.heads + h;  // key u at [u * heads]
}

template <class T>
void attention(const TrainAttention<T>& a) {
  const HeadView<T> s(a);
  for (int64_t t = 0; t < a.tokens; ++t) {
    for (int64_t h = 0; h < a.heads; ++h) {
      const T* q = a.qkv + t * s.ld + h * a.head_dim;
      T* p = probabilities(a, t, h);
      T top = 0, sum = 0;
      for (int64_t u = 0; u <= t; ++u) {
        const T* k = a.qkv + u * s.ld + s.width + h * a.head_dim;
        T dot = 0;
        for (int64_t d = 0; d < a.head_dim; ++d) dot += q[d] * k[d];
        p[u * a.heads] = dot * a.scale;
        top = u == 0 ? p[0] : std::max(top, p[u * a.heads]);
      }
      for (int64_t u = 0; u <= t; ++u) sum += p[u * a.heads] = std::exp(p[u * a.heads] - top);
      for (int64_t u = 0; u <= t; ++u) p[u * a.heads] /= sum;
      for (int64_t d = 0; d < a.head_dim; ++d) {
        T out = 0;
        for (int64_t u = 0; u <= t; ++u) {
          out += p[u * a.heads] * a.qkv[u * s.ld + 2 * s.width + h * a.head_dim + d];
        }
        a.out[t * s.width + h * a.head_dim + d] = out;
      }
    }
  }
}

template <class T>
void attention_backward(const TrainAttention<T>& a, const T* dout, T* dqkv) {
  const HeadView<T> s(a);
  std::fill(dqkv, dqkv + a.tokens * s.ld, T{0});
  for (int64_t t = 0; t < a.tokens; ++t) {
    for (int64_t h = 0; h < a.heads; ++h) {
      const int64_t q = t * s.ld + h * a.head_dim;
      const T *p = probabilities(a, t, h), *dy = dout + t * s.width + h * a.head_dim;
      const auto key = [&](int64_t u) { return u * s.ld + s.width + h * a.head_dim; };
      const auto dprobability = [&](int64_t u) {
        T sum = 0;
        for (int64_t d = 0; d < a.head_dim; ++d) sum += dy[d] * a.qkv[key(u) + s.width + d];
        return sum;
      };
      T mean = 0;
      for (int64_t u = 0; u <= t; ++u) mean += p[u * a.heads] * dprobability(u);
      for (int64_t u = 0; u <= t; ++u) {
        const T dscore = p[u * a.heads] * (dprobability(u) - mean) * a.scale;
        for (int64_t d = 0; d < a.head_dim; ++d) {
          dqkv[q + d] += dscore * a.qkv[key(u) + d];
          dqkv[key(u) + d] += dscore * a.qkv[q + d];
          dqkv[key(u) + s.width + d] += p[u * a.heads] * dy[d];
        }
      }
    }
  }
}

template <class T>
void relu(int64_t n, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = std::max(x[i], T{0});
}

template <class T>
void relu_backward(int64_t n, const T* y, const T* dy, T* dx) {
  for (int64_t i = 0; i < n; ++i) dx[i] = y[i] > 0 ? dy[i] : T{0};
}

constexpr double kRootTwoOverPi = 0.79788456080286535588, kCubic = 0.044715;

template <class T>
T gelu_tanh(T x) {
  return std::tanh(T(kRootTwoOverPi) * (x + T(kCubic) * x * x * x));
}

template <class T>
void gelu(int64_t n, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = T(0.5) * x[i] * (T{1} + gelu_tanh(x[i]));
}

template <class T>
void gelu_backward(int64_t n, const T* x, const T* dy, T* dx) {
  for (int64_t i = 0; i < n; ++i) {
    const T tanh = gelu_tanh(x[i]);
    const T inner = T(kRootTwoOverPi) * (T{1} + T(3 * kCubic) * x[i] * x[i]);
    dx[i] = dy[i] * (T(0.5) * (T{1} + tanh) + T(0.5) * x[i] * (T{1} - tanh * tanh) * inner);
  }
}

template <class T>
void softmax(int64_t n, T scale, T* x) {
  const T top = *std::max_element(x, x + n);
  T total = 0;
  for (int64_t j = 0; j < n; ++j) total += x[j] = std::exp(scale * (x[j] - top));
  for (int64_t j = 0; j < n; ++j) x[j] /= total;
}

template <class T>
void softmax_backward(int64_t n, T scale, const T* p, T* dp) {
  T mean = 0;
  for (int64_t j = 0; j < n; ++j) mean += p[j] * dp[j];
  for (int64_t j = 0; j < n; ++j) dp[j] = scale * p[j] * (dp[j] - mean);
}

template <class T>
void cross_entropy(int64_t rows, int64_t n, int64_t ld, const int32_t* target, T scale, T* x,
                   T* sum, T* gap) {
  for (int64_t r = 0; r < rows; ++r) {
    T* row = x + r * ld;
    const T top = *std::max_element(row, row + n);
    gap[r] = top - row[target[r]];
    T total = 0;
    for (int64_t j = 0; j < n; ++j) total += row[j] = std::exp(row[j] - top);
    for (int64_t j = 0; j < n; ++j) row[j] = row[j] / total * scale;
    row[target[r]] -= scale;
    sum[r] = total;
  }
}

template <class T>
void add_bias(int64_t rows, int64_t n, const T* bias, T* x) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < n; ++j) x[r * n + j] += bias[j];
  }
}

template <class T>
void bias_backward(int64_t rows, int64_t n, const T* dy, T* dbias) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t j = 0; j < n; ++j) dbias[j] += dy[r * n + j];
  }
}

template <class T>
void add(int64_t n, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

template <class T>
void adam(const TrainAdam<T>& o, int64_t n, const T* gradient, T* first, T* second, T* weight) {
  for (int64_t i = 0; i < n; ++i) {
    const T g = gradient[i] * o.gradient_scale;
    first[i] = o.beta1 * first[i] + (T{1} - o.beta1) * g;
    second[i] = o.beta2 * second[i] + (T{1} - o.beta2) * g * g;
    const T step = o.learning_rate * (first[i] * o.correction1) /
                   (std::sqrt(second[i] * o.correction2) + o.eps);
    weight[i] = weight[i] - o.decay * weight[i] - step;
  }
}

template <class T>
constexpr TrainOps<T> kOps = {"ref",
                              product<T>,
                              transpose<T>,
                              norm<T>,
                              norm_backward<T>,
                              attention<T>,
                              attention_backward<T>,
                              relu<T>,
                              relu_backward<T>,
                              gelu<T>,
                              gelu_backward<T>,
                              softmax<T>,
                              softmax_backward<T>,
                              cross_entropy<T>,
                              add_bias<T>,
                              bias_backward<T>,
                              add<T>,
                              adam<T>};

}  // namespace

const TrainOps<double>& ref_train_ops_f64() { return kOps<double>; }
const TrainOps<float>& ref_train_ops_f32() { return kOps<float>; }

}  // namespace nibble
