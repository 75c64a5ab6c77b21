#include "nibble/train/optimizer_step.h"

#include <omp.h>

#include <algorithm>
#include <cmath>

namespace nibble {
namespace {

constexpr int64_t kMaxChunks = 8;
// The unit in which the flat array is shared out; sums of squares are taken per block.
constexpr int64_t kBlock = 1024;

}  // namespace

StepRunner::StepRunner(const ParamLayout& layout, const TrainOps<float>& ops)
    : weights(layout.size),
      first(layout.size),
      second(layout.size),
      layout_(layout),
      ops_(ops),
      transposed_(layout.transposed_size),
      block_squares_(static_cast<size_t>((layout.size + kBlock - 1) / kBlock)) {}

void StepRunner::prepare(int64_t longest_chunk, size_t threads) {
  while (passes_.size() < threads) {
    passes_.push_back(std::make_unique<DecoderPass<float>>(layout_, ops_));
  }
  for (auto& pass : passes_) pass->reserve(longest_chunk);
  while (gradients_.size() < chunks_.size()) gradients_.emplace_back(layout_.size);
  chunk_loss_.assign(chunks_.size(), 0);
}

void StepRunner::transpose_share(int64_t worker, int64_t workers) {
  const auto count = static_cast<int64_t>(layout_.products.size());
  for (int64_t i = worker; i < count; i += workers) {
    transpose_weights(layout_, ops_, weights.data(), transposed_.data(), i, i + 1);
  }
}

void StepRunner::chunk_gradient(const Batch& batch, size_t chunk, DecoderPass<float>& pass) {
  Buffer<float>& gradient = gradients_[chunk];
  gradient.clear();
  const float scale = 1.0f / static_cast<float>(batch.rows());
  chunk_loss_[chunk] =
      pass.forward(weights.data(), transposed_.data(), batch, chunks_[chunk], scale);
  pass.backward(weights.data(), batch, chunks_[chunk], gradient.data());
}

// Sums the gradients of all chunks over [begin, end) and keeps the sum of squares of each block.
void StepRunner::reduce(int64_t begin, int64_t end) {
  float* sum = gradients_[0].data();
  for (size_t c = 1; c < chunks_.size(); ++c) {
    ops_.add(end - begin, gradients_[c].data() + begin, sum + begin);
  }
}

void StepRunner::adam_range(TrainAdam<float> adam, int64_t begin, int64_t end) {
  const auto part = [&](int64_t from, int64_t to) {
    if (from >= to) return;
    ops_.adam(adam, to - from, gradients_[0].data() + from, first.data() + from,
              second.data() + from, weights.data() + from);
  };
  const int64_t border = layout_.matrices_end;
  part(begin, std::min(end, border));
  adam.decay = 0;
  part(std::max(begin, border), end);
}

double StepRunner::clip_scale(double clip_norm) const {
  double sum = 0;
  for (double s : block_squares_) sum += s;
  const double norm = std::sqrt(sum);
  return norm > clip_norm ? clip_norm / norm : 1.0;
}

double StepRunner::step(const Batch& batch, TrainAdam<float> adam, double clip_norm, int threads) {
  chunks_ = cut_into_chunks(batch, kMaxChunks);
  int64_t longest = 0;
  for (const Chunk& c : chunks_) longest = std::max(longest, c.rows);
  prepare(longest, static_cast<size_t>(threads));
  const auto blocks = static_cast<int64_t>(block_squares_.size());
  const auto squares = [&](int64_t block) {
    double sum = 0;
    const float* g = gradients_[0].data();
    const int64_t end = std::min((block + 1) * kBlock, layout_.size);
    for (int64_t i = block * kBlock; i < end; ++i) sum += double{g[i]} * double{g[i]};
    return sum;
  };
  // Buffers are ready: nothing in here allocates or throws.
#pragma omp parallel num_threads(threads)
  {
    const int64_t worker = omp_get_thread_num(), workers = omp_get_num_threads();
    const int64_t begin = blocks * worker / workers, end = blocks * (worker + 1) / workers;
    const int64_t from = begin * kBlock, to = std::min(end * kBlock, layout_.size);
    transpose_share(worker, workers);
#pragma omp barrier
    for (int64_t c = worker; c < static_cast<int64_t>(chunks_.size()); c += workers) {
      chunk_gradient(batch, static_cast<size_t>(c), *passes_[static_cast<size_t>(worker)]);
    }
#pragma omp barrier
    reduce(from, to);
    TrainAdam<float> mine = adam;
    if (clip_norm > 0) {
      for (int64_t b = begin; b < end; ++b) block_squares_[static_cast<size_t>(b)] = squares(b);
#pragma omp barrier
      mine.gradient_scale = static_cast<float>(clip_scale(clip_norm));
    }
    adam_range(mine, from, to);
  }
  double loss = 0;
  for (double l : chunk_loss_) loss += l;
  return loss / static_cast<double>(batch.rows());
}

}  // namespace nibble
