#include "nibble/train/layer_trainer.h"

#include <algorithm>

namespace nibble {
namespace {

// Each chunk of a step has gradients of its own, as large as the layer: as many as this holds, and
// at least two.
constexpr int64_t kGradientBytes = int64_t{64} << 20;
constexpr int64_t kMostChunks = 8;

int64_t chunks_for(int64_t numbers, int64_t samples) {
  const int64_t fit = kGradientBytes / std::max<int64_t>(1, numbers * int64_t{sizeof(float)});
  return std::min(samples, std::clamp<int64_t>(fit, 2, kMostChunks));
}

// What is not quantized stays.
ParamLayout layout_of_layer(const TrainedLayer& what, const FakeQuantization& quantization) {
  ParamLayout out = make_layout(what.config, what.layer);
  for (size_t i = 0; i < out.table.size(); ++i) {
    if (quantization.schemes.contains(out.table[i].name)) continue;
    out.frozen.emplace_back(out.offsets[i], out.offsets[i] + out.table[i].shape.elements());
  }
  std::sort(out.frozen.begin(), out.frozen.end());
  return out;
}

Buffer<float>& at_least(int64_t size, Buffer<float>& buffer) {
  if (buffer.size() < size) buffer = Buffer<float>(size);
  return buffer;
}

}  // namespace

int64_t layer_gradient_bytes(int64_t numbers, int64_t samples) {
  return chunks_for(numbers, samples) * numbers * int64_t{sizeof(float)};
}

// One a thread.
struct LayerTrainer::Worker {
  explicit Worker(const TrainedLayer& what)
      : gradient(what.config, training_plan(what.config, what.layer), what.layer, what.ops) {}
  LayerGradient<float> gradient;
  Buffer<float> x, error, slope;
};

double LayerTrainer::Sum::mean() const {
  return error / static_cast<double>(std::max<int64_t>(1, rows));
}

LayerTrainer::LayerTrainer(const TrainedLayer& what, const WeightLoader& load,
                           const FakeQuantization& quantization, bool narrow)
    : what_(what),
      parts_(
          layout_of_layer(what, quantization), what.ops,
          [load](const FlatLayout& places, float* trained) { load_weights(places, load, trained); },
          quantization, narrow),
      runner_(parts_.layout(), what.ops,
              {[this](int64_t share, int64_t shares) {
                 parts_.prepare(runner_.weights.data(), share, shares);
               },
               [this](float* gradient, int64_t share, int64_t shares) {
                 parts_.pull_back(runner_.weights.data(), gradient, share, shares);
               }}),
      view_(parts_.view(runner_.weights.data())) {
  parts_.begin(runner_.weights.data());
}

LayerTrainer::~LayerTrainer() = default;

void LayerTrainer::reserve(int threads) {
  while (std::ssize(workers_) < threads) workers_.push_back(std::make_unique<Worker>(what_));
}

// e G of the worker's error, block by block.
const float* LayerTrainer::slope_of(Worker& worker, int64_t rows) const {
  const int64_t width = what_.config.hidden_size;
  float* const out = at_least(rows * width, worker.slope).data();
  for (size_t b = 0; b < what_.metric.blocks.size(); ++b) {
    const int64_t first = what_.metric.starts[b], n = what_.metric.starts[b + 1] - first;
    what_.ops.product({rows, n, n, worker.error.data() + first, width, 1,
                       what_.metric.blocks[b].data(), n, out + first, width, false});
  }
  return out;
}

// Of one sample; where `into`, scale times the gradient goes there.
LayerTrainer::Sum LayerTrainer::run(Worker& worker, size_t sample, const LayerSamples& rows,
                                    float scale, const LayerSlopes<float>* into) {
  Sum out;
  rows(sample, [&](const float* given, const float* wanted, int64_t count) {
    const int64_t size = count * what_.config.hidden_size;
    std::copy_n(given, size, at_least(size, worker.x).data());
    const float* const y = worker.gradient.forward(view_.layers.front(), count, worker.x.data());
    float* const error = at_least(size, worker.error).data();
    for (int64_t i = 0; i < size; ++i) error[i] = y[i] - wanted[i];
    const float* const slope = slope_of(worker, count);
    for (int64_t i = 0; i < size; ++i) out.error += double{error[i]} * double{slope[i]};
    out.rows = count;
    if (into == nullptr) return;
    for (int64_t i = 0; i < size; ++i) error[i] = 2 * scale * slope[i];
    worker.gradient.backward(error, {}, into);
  });
  return out;
}

double LayerTrainer::step(std::span<const size_t> samples, const LayerSamples& rows,
                          const TrainAdam<float>& adam, int threads) {
  parts_.before_step(steps_++, runner_.weights.data(), threads);
  reserve(threads);
  const int64_t count = std::ssize(samples), chunks = chunks_for(parts_.layout().size, count);
  runner_.reserve(static_cast<size_t>(chunks));
  while (std::ssize(slopes_) < chunks)
    slopes_.push_back(parts_.slopes(runner_.gradient(slopes_.size())));
  std::vector<Sum> sums(static_cast<size_t>(chunks));
  const auto chunk_gradient = [&](size_t worker, size_t chunk) {
    const auto c = static_cast<int64_t>(chunk);
    Sum& sum = sums[chunk];
    for (int64_t i = count * c / chunks; i < count * (c + 1) / chunks; ++i) {
      const Sum one = run(*workers_[worker], samples[static_cast<size_t>(i)], rows,
                          1 / static_cast<float>(count), &slopes_[chunk].layers.front());
      sum.error += one.error, sum.rows += one.rows;
    }
    return sum.error;
  };
  Sum all;
  all.error = runner_.step(static_cast<size_t>(chunks), chunk_gradient, adam, 0, threads);
  for (const Sum& s : sums) all.rows += s.rows;
  return all.mean();
}

double LayerTrainer::measure(std::span<const size_t> samples, const LayerSamples& rows,
                             int threads) {
  parts_.before_step(steps_, runner_.weights.data(), threads);
  reserve(threads);
  std::vector<Sum> each(samples.size());
  runner_.evaluate(samples.size(), threads, [&](size_t worker, size_t i) {
    each[i] = run(*workers_[worker], samples[i], rows, 0, nullptr);
  });
  Sum all;
  for (const Sum& s : each) all.error += s.error, all.rows += s.rows;
  return all.mean();
}

std::vector<float> LayerTrainer::state() const {
  std::vector<float> out(runner_.weights.begin(), runner_.weights.end());
  const std::vector<float> scales = parts_.state();
  out.insert(out.end(), scales.begin(), scales.end());
  return out;
}

void LayerTrainer::restore(std::span<const float> state) {
  const auto size = static_cast<size_t>(runner_.weights.size());
  std::copy_n(state.begin(), size, runner_.weights.begin());
  parts_.adopt_state(state.subspan(size));
}

}  // namespace nibble
