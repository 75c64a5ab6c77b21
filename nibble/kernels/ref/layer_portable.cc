// What a layer does besides its products, for processors without the vectors of the other sets, in
// plain C++: sixteen floats stand for a vector, so that it gives the same bytes as they do.
#include <cmath>
#include <cstring>

#include "nibble/core/float_formats.h"
#include "nibble/kernels/layer.h"

namespace nibble {
namespace {

constexpr int kLanes = 16;
constexpr const char* kName = "portable";
constexpr int kValueVectors = 4;

struct V {
  float lane[kLanes];
};

// A vector of f(lane).
template <class F>
inline V lanes_of(F f) {
  V out;
  for (int i = 0; i < kLanes; ++i) out.lane[i] = f(i);
  return out;
}

inline V set(float x) {
  return lanes_of([=](int) { return x; });
}
inline V zero() { return set(0); }
inline V load(const float* p) {
  return lanes_of([=](int i) { return p[i]; });
}
inline void store(float* p, const V& v) { std::memcpy(p, v.lane, sizeof(v.lane)); }
inline V load_first(const float* p, int64_t n) {
  return lanes_of([=](int i) { return i < n ? p[i] : 0.0f; });
}
inline void store_first(float* p, int64_t n, const V& v) {
  for (int64_t i = 0; i < n; ++i) p[i] = v.lane[i];
}
inline V add(const V& a, const V& b) {
  return lanes_of([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline V sub(const V& a, const V& b) {
  return lanes_of([&](int i) { return a.lane[i] - b.lane[i]; });
}
inline V mul(const V& a, const V& b) {
  return lanes_of([&](int i) { return a.lane[i] * b.lane[i]; });
}
inline V div(const V& a, const V& b) {
  return lanes_of([&](int i) { return a.lane[i] / b.lane[i]; });
}
inline V fma(const V& a, const V& b, const V& c) {
  return lanes_of([&](int i) { return std::fma(a.lane[i], b.lane[i], c.lane[i]); });
}
// The second operand where one is NaN, as the instructions have it.
inline V max(const V& a, const V& b) {
  return lanes_of([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline V min(const V& a, const V& b) {
  return lanes_of([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline V round(const V& a) {
  return lanes_of([&](int i) { return std::nearbyint(a.lane[i]); });
}
// An n that no exponent can be belongs to a position that a row does not see, whose weight is
// dropped, or to one beside a NaN.
inline V times_power_of_2(const V& a, const V& n) {
  return lanes_of([&](int i) {
    const bool exponent = std::abs(n.lane[i]) < 1024;
    return exponent ? std::ldexp(a.lane[i], static_cast<int>(n.lane[i])) : a.lane[i];
  });
}
inline float first_lane(const V& v) { return v.lane[0]; }
inline float square_root(float x) { return std::sqrt(x); }
// In pairs of neighbours, pairs of pairs, ...
inline float sum_all(V v) {
  for (int step = 1; step < kLanes; step *= 2) {
    for (int i = 0; i < kLanes; i += 2 * step) v.lane[i] += v.lane[i + step];
  }
  return v.lane[0];
}
inline float max_all(const V& v) {
  float most = v.lane[0];
  for (const float x : v.lane) most = x > most ? x : most;
  return most;
}
inline V within(const V& v, int first, int end, const V& other) {
  return lanes_of([&](int i) { return i >= first && i < end ? v.lane[i] : other.lane[i]; });
}
inline V from_f16(const uint16_t* p) {
  return lanes_of([=](int i) { return f16_to_f32(p[i]); });
}
inline void to_f16(uint16_t* p, const V& v) {
  for (int i = 0; i < kLanes; ++i) p[i] = f32_to_f16(v.lane[i]);
}
inline V from_i8(const int8_t* p) {
  return lanes_of([=](int i) { return static_cast<float>(p[i]); });
}
inline int32_t sum_bytes(const int8_t* p) {
  int32_t sum = 0;
  for (int i = 0; i < 32; ++i) sum += p[i];
  return sum;
}

#include "nibble/kernels/layer_simd.inc"

}  // namespace

const LayerOps& portable_layer_ops() { return kOps; }

}  // namespace nibble
