// The definition of LayerOps: one obvious loop each.
#include <algorithm>
#include <cmath>

#include "nibble/core/float_formats.h"
#include "nibble/kernels/layer.h"

namespace nibble {
namespace {

void scale_and_shift(const float* x, int64_t width, double mean, double factor, const float* gain,
                     const float* bias, float* y) {
  for (int64_t i = 0; i < width; ++i) {
    const auto normal = static_cast<float>((x[i] - mean) * factor);
    y[i] = normal * (gain == nullptr ? 1.0f : gain[i]) + (bias == nullptr ? 0.0f : bias[i]);
  }
}

void rms_norm(const float* x, int64_t width, const float* gain, const float* bias, float eps,
              float* y) {
  double squares = 0;
  for (int64_t i = 0; i < width; ++i) squares += static_cast<double>(x[i]) * x[i];
  const double factor = 1.0 / std::sqrt(squares / static_cast<double>(width) + eps);
  scale_and_shift(x, width, 0, factor, gain, bias, y);
}

void layer_norm(const float* x, int64_t width, const float* gain, const float* bias, float eps,
                float* y) {
  const auto count = static_cast<double>(width);
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < width; ++i) sum += x[i];
  const double mean = sum / count;
  for (int64_t i = 0; i < width; ++i) squares += (x[i] - mean) * (x[i] - mean);
  scale_and_shift(x, width, mean, 1.0 / std::sqrt(squares / count + eps), gain, bias, y);
}

void relu(int64_t n, float* x) {
  for (int64_t i = 0; i < n; ++i) x[i] = x[i] < 0 ? 0.0f : x[i];
}

void gelu_tanh(int64_t n, float* x) {
  for (int64_t i = 0; i < n; ++i) {
    const double v = x[i], u = 0.7978845608028654 * (v + 0.044715 * v * v * v);
    x[i] = static_cast<float>(0.5 * v * (1 + std::tanh(u)));
  }
}

void silu_gate(const float* gate, int64_t n, float* up) {
  for (int64_t i = 0; i < n; ++i) up[i] *= gate[i] / (1.0f + std::exp(-gate[i]));
}

void sigmoid_gate(const float* gate, int64_t n, float* x) {
  for (int64_t i = 0; i < n; ++i) x[i] /= 1.0f + std::exp(-gate[i]);
}

void soft_cap(float cap, int64_t n, float* x) {
  for (int64_t i = 0; i < n; ++i) x[i] = cap * std::tanh(x[i] / cap);
}

void rotate(const float* cos, const float* sin, int64_t half, float* x) {
  for (int64_t i = 0; i < half; ++i) {
    const float a = x[i], b = x[i + half];
    x[i] = a * cos[i] - b * sin[i];
    x[i + half] = b * cos[i] + a * sin[i];
  }
}

void to_f16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = f32_to_f16(std::clamp(x[i], -65504.0f, 65504.0f));
}

void to_bf16(const float* x, int64_t n, uint16_t* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = f32_to_bf16(x[i]);
}

void sum_codes(const int8_t* codes, int64_t k, int64_t group, int32_t* sums) {
  for (int64_t begin = 0; begin < k; begin += group) {
    int32_t sum = 0;
    for (int64_t i = begin; i < std::min(begin + group, k); ++i) sum += codes[i];
    *sums++ = sum;
  }
}

float widen(float x) { return x; }
float widen(uint16_t x) { return f16_to_f32(x); }
float widen(int8_t x) { return x; }

template <class T>
void attend(const AttendRows& a) {
  const auto* keys = static_cast<const T*>(a.keys);
  const auto* values = static_cast<const T*>(a.values);
  const auto score = [&](int64_t r, int64_t t) {
    const T* key = keys + t / kKeyBlock * kKeyBlock * a.head_dim + t % kKeyBlock;
    float sum = 0;
    for (int64_t i = 0; i < a.head_dim; ++i) sum += a.q[r][i] * widen(key[i * kKeyBlock]);
    const float value = sum * a.scale * (a.key_scales == nullptr ? 1.0f : a.key_scales[t]);
    return a.softcap > 0 ? a.softcap * std::tanh(value / a.softcap) : value;
  };
  for (int64_t r = 0; r < a.rows; ++r) {
    float highest = a.has_sinks ? a.sinks[r] : -INFINITY;
    for (int64_t t = a.begin[r]; t < a.end[r]; ++t) highest = std::fmax(highest, score(r, t));
    float total = a.has_sinks ? std::exp(a.sinks[r] - highest) : 0.0f;
    std::fill(a.out[r], a.out[r] + a.value_dim, 0.0f);
    for (int64_t t = a.begin[r]; t < a.end[r]; ++t) {
      const float weight = std::exp(score(r, t) - highest);
      const float scaled = weight * (a.value_scales == nullptr ? 1.0f : a.value_scales[t]);
      total += weight;
      for (int64_t i = 0; i < a.value_dim; ++i)
        a.out[r][i] += scaled * widen(values[t * a.value_stride + i]);
    }
    for (int64_t i = 0; i < a.value_dim; ++i) a.out[r][i] /= total;
  }
}

void delta(const DeltaToken& t) {
  for (int64_t j = 0; j < t.value_dim; ++j) {
    double recalled = 0, given = 0;
    for (int64_t i = 0; i < t.key_dim; ++i)
      recalled += double{t.fade} * t.state[i * t.value_dim + j] * t.k[i];
    const double change = t.write * (t.v[j] - recalled);
    for (int64_t i = 0; i < t.key_dim; ++i) {
      float& s = t.state[i * t.value_dim + j];
      s = static_cast<float>(double{t.fade} * s + t.k[i] * change);
      given += double{s} * t.q[i];
    }
    t.out[j] = static_cast<float>(given);
  }
}

constexpr LayerOps kOps = {"ref",        rms_norm,
                           layer_norm,   relu,
                           gelu_tanh,    silu_gate,
                           sigmoid_gate, soft_cap,
                           rotate,       to_f16,
                           to_bf16,      sum_codes,
                           delta,        {attend<float>, attend<uint16_t>, attend<int8_t>}};

}  // namespace

const LayerOps& ref_layer_ops() { return kOps; }

}  // namespace nibble
