#include "nibble/train/decoder_step.h"

#include "nibble/train/whole_decoder.h"

namespace nibble {
namespace {

// The first `count` sequences of a chunk, which loses them.
Chunk take_front(Chunk& rest, const Batch& batch, int64_t count) {
  const int64_t end = std::min(rest.begin + count, rest.end);
  const int64_t rows = batch.starts[static_cast<size_t>(end)] - rest.first_row;
  const Chunk front{rest.begin, end, rest.first_row, rows};
  rest = {end, rest.end, rest.first_row + rows, rest.rows - rows};
  return front;
}

}  // namespace

DecoderStep::DecoderStep(const DecoderConfig& config, std::span<const LayerPlan> plans,
                         const TrainOps<float>& ops, std::unique_ptr<TrainedParts> trained_parts,
                         const StepOptions& options)
    : parts(std::move(trained_parts)),
      runner(parts->layout(), ops,
             {[this](int64_t share, int64_t shares) {
                parts->prepare(runner.weights.data(), share, shares);
              },
              parts->pulls_back()
                  ? [this](float* gradient, int64_t share, int64_t shares) {
                      parts->pull_back(runner.weights.data(), gradient, share, shares);
                    }
                  : std::function<void(float*, int64_t, int64_t)>()}),
      config_(config),
      plans_(plans),
      ops_(ops),
      options_(options),
      view_(parts->view(runner.weights.data())) {}

DecoderStep::DecoderStep(const ParamLayout& layout, const TrainOps<float>& ops)
    : DecoderStep(layout.config, layout.plans, ops,
                  std::make_unique<WholeDecoder>(layout, ops, [](const FlatLayout&, float*) {})) {}

void DecoderStep::reserve(size_t threads, size_t chunks) {
  while (passes_.size() < threads) {
    passes_.push_back(std::make_unique<Pass>(config_, plans_, ops_, options_.recompute));
    passes_.back()->balance_experts(options_.expert_balance);
    if (options_.teacher != nullptr)
      teachers_.push_back(std::make_unique<TeacherPass>(*options_.teacher, ops_));
  }
  runner.reserve(chunks);
  while (slopes_.size() < chunks) slopes_.push_back(parts->slopes(runner.gradient(slopes_.size())));
}

double DecoderStep::run_pieces(size_t worker, const Batch& batch, const Chunk& chunk, float scale,
                               const DecoderSlopes<float>& into) {
  const int64_t each = (chunk.end - chunk.begin + options_.accumulate - 1) / options_.accumulate;
  double loss = 0;
  for (Chunk rest = chunk; rest.begin < rest.end;) {
    const Chunk piece = take_front(rest, batch, each);
    if (options_.teacher == nullptr) {
      loss += passes_[worker]->run(view_, batch, piece, scale, &into);
      continue;
    }
    const auto rows = teachers_[worker]->run(batch, piece, options_.distill_share);
    loss += passes_[worker]->run(view_, batch, piece, scale, &into, &rows);
  }
  return loss;
}

double DecoderStep::step(const Batch& batch, const TrainAdam<float>& adam, double clip_norm,
                         int threads) {
  const std::vector<Chunk> chunks = cut_into_chunks(batch, options_.chunks);
  reserve(static_cast<size_t>(threads), chunks.size());
  const auto targets = static_cast<double>(batch.targets());
  const float scale = 1.0f / static_cast<float>(targets);
  const auto chunk_gradient = [&](size_t worker, size_t chunk) {
    return run_pieces(worker, batch, chunks[chunk], scale, slopes_[chunk]);
  };
  return runner.step(chunks.size(), chunk_gradient, adam, clip_norm, threads) / targets;
}

DecoderStep::Losses DecoderStep::measure(const Batch& batch, int threads) {
  const std::vector<Chunk> chunks = cut_into_chunks(batch, options_.chunks);
  reserve(static_cast<size_t>(threads), 0);
  std::vector<Losses> each(chunks.size());
  runner.evaluate(chunks.size(), threads, [&](size_t worker, size_t c) {
    Pass& pass = *passes_[worker];
    if (options_.teacher != nullptr) {
      const auto rows = teachers_[worker]->run(batch, chunks[c], 1);
      each[c].divergence = pass.run(view_, batch, chunks[c], 1, nullptr, &rows);
    } else {
      pass.run(view_, batch, chunks[c], 1, nullptr);
    }
    each[c].labels = pass.label_loss();
  });
  Losses sum;
  for (const Losses& l : each) sum.labels += l.labels, sum.divergence += l.divergence;
  return sum;
}

}  // namespace nibble
