#include "nibble/train/mlp_trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/train/adam_schedule.h"
#include "nibble/train/batch.h"
#include "nibble/train/mlp_pass.h"
#include "nibble/train/sampler.h"
#include "nibble/train/step_runner.h"

namespace nibble {
namespace {

constexpr int64_t kChunkRows = 64, kMaxChunks = 8;

void draw_mlp_weights(const MlpLayout& layout, PyRandom& random, float* flat) {
  for (size_t i = 0; i < layout.table.size(); ++i) {
    const size_t layer = i / 2;  // weight and bias in turn
    const auto inputs = static_cast<double>(layout.products[layer].k);
    for (int64_t j = 0; j < layout.table[i].shape.elements(); ++j) {
      flat[layout.offsets[i] + j] =
          static_cast<float>((2 * random.random() - 1) / std::sqrt(inputs));
    }
  }
}

void validate(const MlpTrainOptions& o, std::span<const float> images,
              std::span<const uint8_t> labels) {
  if (o.steps < 1 || o.batch < 1 || o.batch > 1'000'000) {
    throw invalid_argument("steps and batch must be at least 1");
  }
  nibble::validate(o.adam, o.steps);
  const auto width = static_cast<size_t>(o.config.sizes.front());
  if (labels.empty() || images.size() != labels.size() * width) {
    throw invalid_argument(
        fmt::format("{} labels need {} inputs of {} numbers each (got {} numbers)", labels.size(),
                    labels.size(), width, images.size()));
  }
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i] < o.config.sizes.back()) continue;
    throw invalid_argument(fmt::format("label {} is {}, the model has {} classes", i, labels[i],
                                       o.config.sizes.back()));
  }
}

class MlpTrainer {
 public:
  MlpTrainer(const MlpTrainOptions& o, std::span<const float> images,
             std::span<const uint8_t> labels, int threads)
      : options_(o),
        layout_(make_layout(o.config)),
        images_(images),
        labels_(labels),
        threads_(threads),
        transposed_(layout_.transposed_size),
        runner_(layout_, best_train_ops(), {[this](int64_t share, int64_t shares) {
                  transpose_weights(layout_, best_train_ops(), runner_.weights.data(),
                                    transposed_.data(), share, shares);
                }}) {
    validate(o, images, labels);
    PyRandom random(o.seed);
    draw_mlp_weights(layout_, random, runner_.weights.data());
    cut();
    for (int i = 0; i < threads; ++i) {
      passes_.push_back(std::make_unique<MlpPass<float>>(layout_, best_train_ops()));
      passes_.back()->reserve(longest_);
    }
  }

  double step(int64_t index) {
    choose(index);
    const float scale = 1.0f / static_cast<float>(options_.batch);
    const auto gradient_of = [&](size_t worker, size_t c) {
      MlpPass<float>& pass = *passes_[worker];
      const Chunk& chunk = chunks_[c];
      gather(chunk, pass.inputs());
      return pass.run(runner_.weights.data(), transposed_.data(), chunk.rows,
                      targets_.data() + chunk.first_row, scale, runner_.gradient(c));
    };
    const double sum = runner_.step(chunks_.size(), gradient_of,
                                    adam_of_step(options_.adam, index, options_.steps),
                                    options_.adam.clip_norm, threads_);
    return sum / static_cast<double>(options_.batch);
  }

  TensorMap weights() const { return export_weights(layout_, runner_.weights.data()); }

 private:
  void cut() {
    const int64_t n = options_.batch, count = std::clamp<int64_t>(n / kChunkRows, 1, kMaxChunks);
    for (int64_t c = 0; c < count; ++c) {
      const int64_t begin = n * c / count, end = n * (c + 1) / count;
      chunks_.push_back({begin, end, begin, end - begin});
      longest_ = std::max(longest_, end - begin);
    }
  }

  void choose(int64_t index) {
    rows_.clear();
    targets_.clear();
    const uint64_t n = labels_.size();
    for (int64_t i = index * options_.batch; i < (index + 1) * options_.batch; ++i) {
      const uint64_t at = static_cast<uint64_t>(i), epoch = at / n;
      if (order_.empty() || epoch != epoch_) {
        order_ = epoch_order(options_.seed, epoch, labels_.size());
        epoch_ = epoch;
      }
      rows_.push_back(order_[at % n]);
      targets_.push_back(labels_[static_cast<size_t>(rows_.back())]);
    }
  }

  void gather(const Chunk& chunk, float* out) const {
    const int64_t width = options_.config.sizes.front();
    for (int64_t r = 0; r < chunk.rows; ++r) {
      const int64_t from = rows_[static_cast<size_t>(chunk.first_row + r)];
      std::copy_n(images_.data() + from * width, width, out + r * width);
    }
  }

  const MlpTrainOptions& options_;
  MlpLayout layout_;
  std::span<const float> images_;
  std::span<const uint8_t> labels_;
  int threads_;
  Buffer<float> transposed_;
  StepRunner runner_;
  std::vector<std::unique_ptr<MlpPass<float>>> passes_;
  std::vector<Chunk> chunks_;
  int64_t longest_ = 0;
  std::vector<int64_t> rows_, order_;
  std::vector<int32_t> targets_;
  uint64_t epoch_ = 0;
};

}  // namespace

TensorMap random_mlp_weights(const MlpConfig& config, uint64_t seed) {
  const MlpLayout layout = make_layout(config);
  Buffer<float> flat(layout.size);
  PyRandom random(seed);
  draw_mlp_weights(layout, random, flat.data());
  return export_weights(layout, flat.data());
}

TrainResult train_mlp(const MlpTrainOptions& options, std::span<const float> images,
                      std::span<const uint8_t> labels, const Exec& exec, const TrainHook& hook) {
  using Clock = std::chrono::steady_clock;
  MlpTrainer trainer(options, images, labels, std::max(1, exec.threads));
  TrainResult out;
  const auto start = Clock::now();
  for (int64_t i = 0; i < options.steps; ++i) {
    exec.check_stop();
    const double loss = trainer.step(i);
    if (!std::isfinite(loss)) {
      throw invalid_argument(fmt::format(
          "the loss is no longer a number at step {}; use a smaller learning rate", i + 1));
    }
    out.losses.push_back(static_cast<float>(loss));
    out.tokens += options.batch;
    out.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (hook) hook({i + 1, options.steps, loss, out.tokens, out.seconds});
  }
  out.weights = trainer.weights();
  return out;
}

}  // namespace nibble
