#include "nibble/nn/attention.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"

namespace nibble {
namespace {

// Below this many multiplications a parallel region costs more than it saves.
constexpr int64_t kParallelWork = 1 << 18;

void attend_one(const float* q, const float* keys, const float* values, int64_t positions,
                int64_t stride, int64_t head_dim, float* scores, float* out) {
  const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
  float highest = -INFINITY;
  for (int64_t t = 0; t < positions; ++t) {
    const float* key = keys + t * stride;
    float dot = 0;
    for (int64_t i = 0; i < head_dim; ++i) dot += q[i] * key[i];
    scores[t] = dot * scale;
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
    const float* value = values + t * stride;
    for (int64_t i = 0; i < head_dim; ++i) out[i] += weight * value[i];
  }
}

}  // namespace

KvCache::KvCache(int64_t layers, int64_t capacity, const AttentionShape& shape)
    : capacity_(capacity), width_(shape.kv_heads * shape.head_dim) {
  keys_.resize(static_cast<size_t>(layers * capacity_ * width_));
  values_.resize(keys_.size());
}

void KvCache::write(int64_t layer, int64_t start, int64_t m, std::span<const float> k,
                    std::span<const float> v) {
  NIBBLE_CHECK(start + m <= capacity_ && static_cast<int64_t>(k.size()) >= m * width_);
  const auto at = (layer * capacity_ + start) * width_;
  std::copy_n(k.begin(), m * width_, keys_.begin() + at);
  std::copy_n(v.begin(), m * width_, values_.begin() + at);
}

void attend(std::span<const float> q, int64_t m, int64_t start, const KvCache& cache, int64_t layer,
            const AttentionShape& shape, std::span<float> out, const Exec& exec) {
  const int64_t shared = shape.heads / shape.kv_heads, stride = shape.kv_heads * shape.head_dim;
  const int64_t jobs = m * shape.heads, width = shape.heads * shape.head_dim;
  const bool parallel = exec.threads > 1 && jobs * (start + m) * shape.head_dim > kParallelWork;
#pragma omp parallel num_threads(exec.threads) if (parallel)
  {
    std::vector<float> scores(static_cast<size_t>(start + m));
#pragma omp for schedule(static)
    for (int64_t job = 0; job < jobs; ++job) {
      const int64_t r = job / shape.heads, head = job % shape.heads;
      const int64_t offset = head / shared * shape.head_dim, at = r * width + head * shape.head_dim;
      attend_one(q.data() + at, cache.keys(layer) + offset, cache.values(layer) + offset,
                 start + r + 1, stride, shape.head_dim, scores.data(), out.data() + at);
    }
  }
}

}  // namespace nibble
