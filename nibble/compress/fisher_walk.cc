#include "nibble/compress/fisher_walk.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>

#include "nibble/compress/output_sums.h"
#include "nibble/compress/sample_stream.h"
#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/core/stoppable.h"
#include "nibble/quant/dense.h"
#include "nibble/train/head_gradient.h"
#include "nibble/train/layer_gradient.h"

namespace nibble {
namespace {

using Rows = std::vector<float>;

// Rows of one sample where kernels may read behind their end.
float* load_rows(const float* rows, int64_t size, Buffer<float>& to) {
  if (to.size() < size) to = Buffer<float>(size);
  std::copy_n(rows, size, to.data());
  return to.data();
}

// What a thread works in; between samples it waits for the next thread that wants one.
struct Worker {
  Worker(const DecoderConfig& config, int layer) : gradient(config, layer, best_train_ops()) {}
  LayerGradient<float> gradient;
  Buffer<float> x, dx;
};

// Of one layer.
class Workers {
 public:
  Workers(const DecoderConfig& config, int layer) : config_(config), layer_(layer) {}
  template <class F>
  void use(F f) {
    std::unique_ptr<Worker> worker = take();
    f(*worker);
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(worker));
  }

 private:
  std::unique_ptr<Worker> take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return std::make_unique<Worker>(config_, layer_);
    std::unique_ptr<Worker> worker = std::move(idle_.back());
    idle_.pop_back();
    return worker;
  }
  const DecoderConfig& config_;
  const int layer_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Worker>> idle_;
};

// The first samples, with about `tokens` tokens.
Samples first_samples(const CalibrationText& text, int64_t tokens) {
  size_t count = 0;
  for (int64_t sum = 0; count < text.samples.size() && sum < tokens; ++count)
    sum += std::ssize(text.samples[count]);
  return Samples(text.samples).first(count);
}

// A stream of random numbers of its own for each (sample, draw).
PyRandom random_of(uint64_t seed, size_t sample, int draw) {
  constexpr uint64_t kSpread = 0x9E3779B97F4A7C15;  // 2^64 over the golden ratio
  return PyRandom((seed ^ (sample + 1) * kSpread) +
                  static_cast<uint64_t>(draw) * (kSpread << 32 | 1));
}

class FisherWalk {
 public:
  FisherWalk(const Model& model, const CalibrationText& text, const FisherOptions& options,
             const Exec& exec)
      : config_(model.decoder_config()),
        table_(parameter_table(config_)),
        options_(options),
        exec_(exec),
        load_([&model](const ParamSpec& spec) { return load_weight(model, spec); }),
        release_([&model](const ParamSpec& spec) { model.weights->release(spec.name); }),
        find_(config_, load_, release_),
        runner_(config_, load_),
        samples_(first_samples(text, options.tokens)),
        draws_(draws_for(options, tokens_of(samples_))),
        x_(rows(config_.layers + 1, 1)),
        dx_(rows(1, draws_)) {}

  OutputMetrics run() {
    for_each_sample(samples_, exec_, [this](size_t s) { x_.put(s, runner_.embed(samples_[s])); });
    for (int layer = 0; layer < config_.layers; ++layer) forward(layer);
    head();
    OutputMetrics out;
    for (int64_t layer = config_.layers; layer-- > 0;) backward(static_cast<int>(layer), out);
    if (judges_table(config_))
      out.emplace(find_parameter(table_, {Role::token_embedding})->name,
                  of_the_stream(config_.hidden_size));
    return out;
  }

 private:
  // Room for `times` residual streams of every sample, `draws` wide.
  SampleRows rows(int64_t times, int64_t draws) const {
    return {samples_.size() * static_cast<size_t>(times),
            longest(samples_) * config_.hidden_size * draws, options_.spill_folder};
  }

  int64_t tokens(size_t sample) const { return std::ssize(samples_[sample]); }
  // Where the stream in front of a layer (behind the last: of layer `layers`) is kept.
  size_t place(int64_t layer, size_t sample) const {
    return static_cast<size_t>(layer) * samples_.size() + sample;
  }

  void report() {
    exec_.report({"gradients", ++done_, 2 * config_.layers, {}});
    exec_.check_stop();
  }

  LayerWeights<float> load(int layer) const {
    const bool narrow = config_.hidden_size >= options_.bf16_width;
    return load_layer_weights(config_, find_, layer, narrow, best_train_ops());
  }

  void forward(int layer) {
    const auto weights = load(layer);
    const LayerView<float> view = weights.view();
    Workers workers(config_, layer);
    for_each_sample(samples_, exec_, [&](size_t s) {
      Rows x = x_.take(place(layer, s));
      workers.use([&](Worker& worker) {
        const float* const out =
            worker.gradient.forward(view, tokens(s), load_rows(x.data(), std::ssize(x), worker.x));
        x_.put(place(layer + 1, s), Rows(out, out + x.size()));
      });
      x_.put(place(layer, s), std::move(x));
    });
    report();
  }

  void head() {
    const HeadWeights weights(config_, find_);
    const HeadView<float> view = weights.view();
    for_each_sample(samples_, exec_, [&](size_t s) {
      std::vector<PyRandom> random;
      random.reserve(static_cast<size_t>(draws_));
      for (int draw = 0; draw < draws_; ++draw) random.push_back(random_of(options_.seed, s, draw));
      const Rows x = x_.take(place(config_.layers, s));
      Rows dx(x.size() * static_cast<size_t>(draws_));
      const auto choose = [&](int64_t, int draw, std::span<const float> p) {
        return draw_label(p, random[static_cast<size_t>(draw)].random());
      };
      Buffer<float> own;
      HeadGradient<float>(config_, best_train_ops())
          .draw(view, tokens(s), load_rows(x.data(), std::ssize(x), own), draws_, choose,
                dx.data());
      dx_.put(s, std::move(dx));
    });
  }

  // One sample's gradients through a layer, for every draw.
  void backward(const LayerView<float>& weights, int layer, Workers& workers, size_t s,
                const OutputSums& sums, OutputSums::Rows& out) {
    const int64_t m = tokens(s), size = m * config_.hidden_size;
    sums.clear(out);
    Rows dx = dx_.take(s);
    const Rows x = x_.take(place(layer, s));
    workers.use([&](Worker& worker) {
      worker.gradient.forward(weights, m, load_rows(x.data(), size, worker.x));
      for (int draw = 0; draw < draws_; ++draw) {
        float* const own = dx.data() + draw * size;
        float* const buffer = load_rows(own, size, worker.dx);
        worker.gradient.backward(buffer,
                                 [&](const ParamKey& key, int64_t rows, const float* gradient) {
                                   sums.put(key, rows, gradient, out);
                                 });
        std::copy_n(buffer, size, own);
      }
    });
    dx_.put(s, std::move(dx));
  }

  // Samples whose gradients are in memory together: as many as there are threads, or more of small
  // ones. They are summed in their order, so that their number is nothing to the sums.
  int64_t batch_size(const OutputSums& sums) const {
    constexpr int64_t kBytes = int64_t{128} << 20;
    const int64_t each = longest(samples_) * draws_ * sums.width() * int64_t{sizeof(float)};
    return std::max(kBytes / each, int64_t{std::max(exec_.threads, 1)});
  }

  void backward(int layer, OutputMetrics& out) {
    if (options_.streams) out.emplace(stream_name(layer), of_the_stream(options_.largest_block));
    const auto weights = load(layer);
    const LayerView<float> view = weights.view();
    Workers workers(config_, layer);
    OutputSums sums(config_, layer, options_.largest_block);
    const int64_t all = std::ssize(samples_), step = batch_size(sums);
    int64_t rows = 0;
    for (int64_t first = 0; first < all; first += step) {
      const int64_t count = std::min(step, all - first);
      batch_.resize(static_cast<size_t>(std::max(count, std::ssize(batch_))));
      parallel_for(count, exec_, [&](int64_t i) {
        backward(view, layer, workers, static_cast<size_t>(first + i), sums,
                 batch_[static_cast<size_t>(i)]);
      });
      sums.add(std::span(batch_).first(static_cast<size_t>(count)), exec_.threads);
      for (int64_t i = 0; i < count; ++i) rows += tokens(static_cast<size_t>(first + i));
      exec_.check_stop();
    }
    // Of all rows, an expert's as well: what is rarely asked for matters as much less.
    const double scale = 1 / static_cast<double>(std::max<int64_t>(1, rows * draws_));
    for (auto& [key, metric] : sums.finish(scale, exec_.threads))
      out.emplace(find_parameter(table_, key)->name, std::move(metric));
    report();
  }

  // Of the stream as far as gradients have come back: behind a layer, or what the embedding makes.
  OutputMetric of_the_stream(int64_t largest_block) {
    const int64_t k = config_.hidden_size;
    OutputMetric out{equal_pieces(k, 1, largest_block), {}};
    for (size_t b = 0; b + 1 < out.starts.size(); ++b) {
      const int64_t size = out.starts[b + 1] - out.starts[b];
      out.blocks.emplace_back(static_cast<size_t>(size * size));
    }
    int64_t rows = 0;
    for (size_t s = 0; s < samples_.size(); ++s) {
      Rows dx = dx_.take(s);
      rows += std::ssize(dx) / k;
      for (size_t b = 0; b < out.blocks.size(); ++b) add_block(dx, out.starts[b], out.blocks[b]);
      dx_.put(s, std::move(dx));
    }
    for (std::vector<float>& block : out.blocks) {
      mirror(size_of_block(block), block.data());
      for (float& g : block) g /= static_cast<float>(std::max<int64_t>(1, rows));
    }
    return out;
  }

  static int64_t size_of_block(const std::vector<float>& block) {
    return static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(block.size()))));
  }

  // The sum over the rows of g g^T of columns from `first` on.
  void add_block(const Rows& dx, int64_t first, std::vector<float>& block) const {
    const int64_t k = config_.hidden_size, size = size_of_block(block), m = std::ssize(dx) / k;
    Rows part;
    for (int64_t r = 0; r < m && size < k; ++r)
      part.insert(part.end(), dx.begin() + r * k + first, dx.begin() + r * k + first + size);
    const float* const g = size < k ? part.data() : dx.data();
    add_gram(m, size, size, g, g, block.data(), exec_.threads);
  }

  const DecoderConfig& config_;
  const std::vector<ParamSpec> table_;
  const FisherOptions& options_;
  const Exec& exec_;
  const WeightLoader load_;
  const WeightRelease release_;
  const ParameterFinder find_;
  const LayerRunner runner_;
  const Samples samples_;
  const int draws_;
  SampleRows x_, dx_;
  std::vector<OutputSums::Rows> batch_;
  int64_t done_ = 0;
};

}  // namespace

std::string stream_name(int layer) { return fmt::format("stream behind layer {}", layer); }

// As many as make kRows gradients in all: on 8,192 tokens of gpt2-shakespeare four draws instead of
// two took up to 7 % of yaqa's KL away, on 16,384 nothing.
int draws_for(const FisherOptions& options, int64_t tokens) {
  constexpr int64_t kRows = 32768, kFewest = 2, kMost = 16;
  if (options.draws > 0) return options.draws;
  return static_cast<int>(std::clamp(kRows / std::max<int64_t>(1, tokens), kFewest, kMost));
}

InputStatistics judging(const OutputMetric& metric) {
  InputStatistics out;
  out.k = out.rows = metric.n();
  out.hessian = metric.blocks.at(0);
  for (int64_t i = 0; i < out.k; ++i)
    out.mean_square.push_back(out.hessian[static_cast<size_t>(i * out.k + i)]);
  return out;
}

OutputMetrics output_metrics(const Model& model, const CalibrationText& text,
                             const FisherOptions& options, const Exec& exec) {
  return FisherWalk(model, text, options, exec).run();
}

}  // namespace nibble
