#include "nibble/train/decoder_step.h"

namespace nibble {
namespace {

constexpr int64_t kDecoderChunks = 8;

}  // namespace

double DecoderStep::step(const Batch& batch, const TrainAdam<float>& adam, double clip_norm,
                         int threads) {
  const std::vector<Chunk> chunks = cut_into_chunks(batch, kDecoderChunks);
  while (passes_.size() < static_cast<size_t>(threads))
    passes_.push_back(
        std::make_unique<DecoderGradient<float>>(layout_.config, layout_.plans, ops_));
  runner.reserve(chunks.size());
  while (slopes_.size() < chunks.size())
    slopes_.push_back(slopes_of(layout_, runner.gradient(slopes_.size())));
  const float scale = 1.0f / static_cast<float>(batch.rows());
  const auto chunk_gradient = [&](size_t worker, size_t chunk) {
    return passes_[worker]->run(view_, batch, chunks[chunk], scale, &slopes_[chunk]);
  };
  return runner.step(chunks.size(), chunk_gradient, adam, clip_norm, threads) /
         static_cast<double>(batch.rows());
}

}  // namespace nibble
