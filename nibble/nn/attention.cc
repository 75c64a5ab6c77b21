#include "nibble/nn/attention.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "nibble/core/error.h"

namespace nibble {
namespace {

// Below this many multiplications a parallel region costs more than it saves.
constexpr int64_t kParallelWork = 1 << 18;
// Partial sums of a dot product: a fixed number, so that the order of additions is the same
// whatever the compiler makes of the loop.
constexpr int64_t kLanes = 16;

inline float widen(float x) { return x; }

// A finite f16, in a form that compilers turn into vector code: its exponent and fraction moved to
// where f32 has them, then the exponent's bias corrected by a multiplication.
inline float widen(uint16_t half) {
  const uint32_t bits =
      (static_cast<uint32_t>(half) & 0x8000u) << 16 | (static_cast<uint32_t>(half) & 0x7fffu) << 13;
  return std::bit_cast<float>(bits) * 0x1p112f;
}

template <class T>
float dot(const float* a, const T* b, int64_t n) {
  float sums[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) sums[j] += a[i + j] * widen(b[i + j]);
  }
  for (int64_t j = 0; i < n; ++i, ++j) sums[j] += a[i] * widen(b[i]);
  for (int64_t width = kLanes / 2; width > 0; width /= 2) {
    for (int64_t j = 0; j < width; ++j) sums[j] += sums[j + width];
  }
  return sums[0];
}

// One query of one head over `positions` keys and values.
template <class T>
void attend_one(const float* q, const T* keys, const T* values, int64_t positions, int64_t head_dim,
                float* scores, float* out) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  float highest = -INFINITY;
  for (int64_t t = 0; t < positions; ++t) {
    scores[t] = dot(q, keys + t * head_dim, head_dim) * scale;
    highest = std::max(highest, scores[t]);
  }
  float sum = 0;
  for (int64_t t = 0; t < positions; ++t) {
    scores[t] = std::exp(scores[t] - highest);
    sum += scores[t];
  }
  const float inverse = 1.0f / sum;
  std::fill(out, out + head_dim, 0.0f);
  for (int64_t t = 0; t < positions; ++t) {
    const float weight = scores[t] * inverse;
    const T* value = values + t * head_dim;
    for (int64_t i = 0; i < head_dim; ++i) out[i] += weight * widen(value[i]);
  }
}

struct Job {
  const float* q;
  const std::byte *keys, *values;  // of the first position seen
  int64_t positions;
  float* out;
};

template <class T>
void run(const Job& job, int64_t head_dim, float* scores) {
  attend_one(job.q, reinterpret_cast<const T*>(job.keys), reinterpret_cast<const T*>(job.values),
             job.positions, head_dim, scores, job.out);
}

}  // namespace

void attend(const Queries& q, const KvCache& cache, int64_t layer, const AttentionShape& shape,
            int64_t window, std::span<float> out, const Exec& exec) {
  const int64_t d = shape.head_dim, width = shape.heads * d, shared = shape.heads / shape.kv_heads;
  const int64_t jobs = q.m * shape.heads, most = q.start + q.m;
  NIBBLE_CHECK(most <= cache.capacity() && static_cast<int64_t>(out.size()) == q.m * width);
  const auto run_job = cache.dtype() == DType::f32 ? run<float> : run<uint16_t>;
  const int64_t row_bytes = d * size_of(cache.dtype());
  const bool parallel = exec.threads > 1 && jobs * most * d > kParallelWork;
#pragma omp parallel num_threads(exec.threads) if (parallel)
  {
    std::vector<float> scores(static_cast<size_t>(most));
    // Rows in turn: later ones see more positions.
#pragma omp for schedule(static, 1)
    for (int64_t job = 0; job < jobs; ++job) {
      const int64_t r = job / shape.heads, head = job % shape.heads, end = q.start + r + 1;
      const int64_t first = window > 0 ? std::max<int64_t>(0, end - window) : 0;
      const int64_t skipped = first * row_bytes;
      run_job({q.data + r * q.stride + head * d, cache.keys(layer, head / shared) + skipped,
               cache.values(layer, head / shared) + skipped, end - first,
               out.data() + r * width + head * d},
              d, scores.data());
    }
  }
}

}  // namespace nibble
