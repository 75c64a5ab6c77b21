// Kernels of training: the forward and backward pairs of a decoder over ragged rows, and Adam.
//
// A table of functions for one element type. kernels/ref/train_ref.cc is the definition of each,
// for double and float; avx2 and avx512 have their own for float. Everywhere: row-major, "ld" is
// the number of elements from one row to the next, T elements per sequence, C the width. Buffers
// may be read (not written) up to kTrainSlack elements past their end.
#pragma once

#include <cstdint>

namespace nibble {

/// Elements behind every buffer that a kernel may read.
inline constexpr int64_t kTrainSlack = 32;
/// Lengths of what adam() gets are multiples of this.
inline constexpr int64_t kTrainAlign = 16;

/// One product c = a b (+ c): a is [m, k] with element (i, p) at a[i * a_row + p * a_column], so
/// that it may be read transposed; b is [k, n].
template <class T>
struct TrainProduct {
  int64_t m, n, k;
  const T* a;
  int64_t a_row, a_column;
  const T* b;
  int64_t ldb;
  T* c;
  int64_t ldc;
  bool accumulate;
};

/// y = (x - mean) * rstd * gain + bias for each row, rstd = (mean((x - mean)^2) + eps)^-1/2; for
/// RMSNorm the mean is 0 (Zhang and Sennrich 2019). gain and bias may be null.
template <class T>
struct TrainNorm {
  int64_t rows, width;
  bool subtract_mean;
  T eps;
  const T *x, *gain, *bias;
  T* y;            ///< forward: result [rows, width]
  T *mean, *rstd;  ///< [rows], written by forward, read by backward
};

/// What backward adds of a norm: dx += dL/dx (or dx = where not `accumulate`), dgain and dbias +=.
template <class T>
struct TrainNormGradient {
  const T* dy;
  T *dx, *dgain, *dbias;
  bool accumulate;
};

/// Causal attention of one sequence of T rows. qkv is [T, 3 heads head_dim]: q, k, v side by side.
/// p[(t (t + 1) / 2 + u) heads + h] is the probability of key u for query t.
template <class T>
struct TrainAttention {
  int64_t tokens, heads, head_dim;
  T scale;
  const T* qkv;
  T* out;  ///< [tokens, heads head_dim]
  T* p;
};

template <class T>
struct TrainAdam {
  T learning_rate, beta1, beta2, eps;
  T correction1, correction2;  ///< 1 / (1 - beta^step)
  T decay;                     ///< learning rate * weight decay
  T gradient_scale;            ///< clipping
};

template <class T>
struct TrainOps {
  const char* name;
  void (*product)(const TrainProduct<T>&);
  /// to[j, i] = from[i, j]; from is [n, k], to is [k, n].
  void (*transpose_rows)(int64_t n, int64_t k, const T* from, int64_t from_ld, T* to, int64_t ld);
  /// The same of rows without anything between them.
  void transpose(int64_t n, int64_t k, const T* from, T* to, int64_t ld) const {
    transpose_rows(n, k, from, k, to, ld);
  }
  void (*norm)(const TrainNorm<T>&);
  void (*norm_backward)(const TrainNorm<T>&, const TrainNormGradient<T>&);
  void (*attention)(const TrainAttention<T>&);
  /// dqkv = dL/dqkv (all of it written) from dout = dL/dout.
  void (*attention_backward)(const TrainAttention<T>&, const T* dout, T* dqkv);
  /// y = max(x, 0); y may be x.
  void (*relu)(int64_t n, const T* x, T* y);
  /// dx = dy where y > 0, else 0; dx may be dy.
  void (*relu_backward)(int64_t n, const T* y, const T* dy, T* dx);
  /// y = x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016).
  void (*gelu)(int64_t n, const T* x, T* y);
  void (*gelu_backward)(int64_t n, const T* x, const T* dy, T* dx);
  /// x = softmax(scale x) of one row.
  void (*softmax)(int64_t n, T scale, T* x);
  /// dp = dL/dp of p = softmax(scale x) becomes dL/dx = scale p (dp - sum p dp).
  void (*softmax_backward)(int64_t n, T scale, const T* p, T* dp);
  /// For each row: sum = sum_j exp(x[j] - max), gap = max - x[target], so that the loss is log(sum)
  /// + gap; then x = scale (softmax(x) - onehot(target)), its gradient.
  void (*cross_entropy)(int64_t rows, int64_t n, int64_t ld, const int32_t* target, T scale, T* x,
                        T* sum, T* gap);
  /// x[r, :] += bias.
  void (*add_bias)(int64_t rows, int64_t n, const T* bias, T* x);
  /// dbias += sum over rows of dy.
  void (*bias_backward)(int64_t rows, int64_t n, const T* dy, T* dbias);
  /// y += x.
  void (*add)(int64_t n, const T* x, T* y);
  /// One step of Adam (Kingma and Ba 2015), eps outside the root, decay decoupled (Loshchilov and
  /// Hutter 2019).
  void (*adam)(const TrainAdam<T>&, int64_t n, const T* gradient, T* first, T* second, T* weight);
};

/// The definition, for tests and for reference mode.
const TrainOps<double>& ref_train_ops_f64();
const TrainOps<float>& ref_train_ops_f32();
/// The best for this processor under the cap of NIBBLE_ISA.
const TrainOps<float>& best_train_ops();

#if defined(__x86_64__)
const TrainOps<float>& avx2_train_ops();
const TrainOps<float>& avx512_train_ops();
#endif

}  // namespace nibble
