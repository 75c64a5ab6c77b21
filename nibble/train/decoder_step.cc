#include "nibble/train/decoder_step.h"

#include <algorithm>

namespace nibble {
namespace {

constexpr int64_t kDecoderChunks = 8;

}  // namespace

double DecoderStep::step(const Batch& batch, const TrainAdam<float>& adam, double clip_norm,
                         int threads) {
  const std::vector<Chunk> chunks = cut_into_chunks(batch, kDecoderChunks);
  int64_t longest = 0;
  for (const Chunk& c : chunks) longest = std::max(longest, c.rows);
  while (passes_.size() < static_cast<size_t>(threads)) {
    passes_.push_back(std::make_unique<DecoderPass<float>>(layout_, ops_));
  }
  for (auto& pass : passes_) pass->reserve(longest);
  const float scale = 1.0f / static_cast<float>(batch.rows());
  const auto chunk_gradient = [&](size_t worker, const Chunk& chunk, const float* weights,
                                  const float* transposed, float* gradient) {
    DecoderPass<float>& pass = *passes_[worker];
    const double loss = pass.forward(weights, transposed, batch, chunk, scale);
    pass.backward(weights, batch, chunk, gradient);
    return loss;
  };
  return runner.step(chunks, chunk_gradient, adam, clip_norm, threads) /
         static_cast<double>(batch.rows());
}

}  // namespace nibble
