#include "nibble/compress/block_training.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/train/adam_schedule.h"
#include "nibble/train/rounded_inputs.h"

namespace nibble {
namespace {

// One sample of so many is not learnt from: on those a layer is measured.
constexpr size_t kHeldOut = 10;

int threads_of(const Exec& exec) { return std::max(1, exec.threads); }

}  // namespace

CalibrationText training_text(const Model& model, const QuantizeOptions& options,
                              const Exec& exec) {
  CalibrationOptions of = options.calibration;
  of.samples = options.training.samples;
  return calibration_text(model, of, exec);
}

void require_trainable(const std::vector<ParameterPlan>& plans) {
  for (const ParameterPlan& p : plans) {
    if (!p.scheme || p.spec.layer < 0) continue;
    const ActivationType inputs = p.scheme->activations;
    if (inputs == ActivationType::none || rounds_inputs(inputs)) continue;
    throw invalid_argument(
        fmt::format("`method` qat trains with inputs as they are or rounded to a8 or a8full: {} "
                    "cannot be used",
                    to_string(*p.scheme)));
  }
}

BlockTrainingEstimate estimate_block_training(const DecoderConfig& config,
                                              const QuantizeOptions& options, int threads) {
  BlockTrainingEstimate out;
  if (!options.trains_blocks) return out;
  const BlockTrainingOptions& o = options.training;
  const int64_t length = std::min(options.calibration.length, config.context);
  int64_t layer_bytes = 0;
  double weights = 0;
  for (int layer = 0; layer < config.layers; ++layer) {
    const ParamLayout layout = make_layout(config, layer);
    // Weights, both moments, what is multiplied with and its transposed copy, the best so far.
    const int64_t numbers = 5 * layout.size + layout.transposed_size;
    layer_bytes = std::max(
        layer_bytes, numbers * int64_t{sizeof(float)} + layer_gradient_bytes(layout.size, o.batch));
    weights += static_cast<double>(layout.matrices_end);
  }
  const int64_t activations =
      length * (12 * config.hidden_size + 6 * config.intermediate_size + config.heads * length);
  out.work_bytes = layer_bytes + threads * activations * int64_t{sizeof(float)};
  // Two streams; and calibration's, which goes back to the front of a layer that was trained.
  out.stream_bytes = (2 * o.samples + options.calibration.samples) * length * config.hidden_size *
                     int64_t{sizeof(float)};
  const double rows = static_cast<double>(o.samples) * static_cast<double>(length);
  // Both streams; forward and two products backward; the samples held out.
  out.products = rows * weights * (2 + static_cast<double>(o.epochs) * 3);
  return out;
}

BlockTraining::BlockTraining(const Setting& setting, const CalibrationText& text)
    : s_(setting),
      given_(s_.original, text.samples, s_.options.spill_folder, s_.exec),
      wanted_(s_.original, text.samples, s_.options.spill_folder, s_.exec) {
  for (size_t i = 0; i < text.samples.size(); ++i)
    (i % kHeldOut == kHeldOut - 1 ? held_out_ : learnt_).push_back(i);
  if (held_out_.empty() && learnt_.size() > 1) {
    held_out_.push_back(learnt_.back());
    learnt_.pop_back();
  }
  if (held_out_.empty()) held_out_ = learnt_;
}

void BlockTraining::embed() {
  given_.embed();
  wanted_.embed();
}

void BlockTraining::aim(int layer) { wanted_.run(s_.original.layer(layer, s_.products)); }

FakeQuantization BlockTraining::quantization(const std::vector<FinishedWeight>& finished) const {
  FakeQuantization out;
  out.scale_dtype = s_.options.scale_dtype;
  out.steady_grid = true;
  const BlockTrainingOptions& o = s_.options.training;
  if (o.rate > 0)
    out.scale_rate = o.scale_rate / o.rate;
  else
    out.only_scales = true;
  for (const FinishedWeight& w : finished) {
    out.schemes.emplace(w.name, w.weight.scheme);
    out.known.emplace(w.name, w.weight);
  }
  return out;
}

LayerSamples BlockTraining::rows() {
  return [this](size_t sample, const LayerRows& f) {
    given_.with_stream(sample, [&](const std::vector<float>& x) {
      wanted_.with_stream(sample, [&](const std::vector<float>& y) {
        f(x.data(), y.data(), std::ssize(x) / s_.model.decoder_config().hidden_size);
      });
    });
  };
}

// The samples once, in an order of their own.
double BlockTraining::epoch(LayerTrainer& trainer, int64_t number) {
  const BlockTrainingOptions& o = s_.options.training;
  const int64_t count = std::ssize(learnt_), each = (count + o.batch - 1) / o.batch;
  const AdamOptions adam{
      .learning_rate = o.rate > 0 ? o.rate : o.scale_rate, .beta1 = 0.9, .beta2 = 0.99};
  PyRandom random(s_.options.calibration.seed + static_cast<uint64_t>(number));
  std::vector<size_t> order = learnt_;
  random.shuffle(order);
  for (int64_t i = 0; i < each; ++i) {
    s_.exec.check_stop();
    const int64_t first = i * o.batch, size = std::min(o.batch, count - first);
    const auto batch =
        std::span(order).subspan(static_cast<size_t>(first), static_cast<size_t>(size));
    trainer.step(batch, rows(), adam_of_step(adam, number * each + i, o.epochs * each),
                 threads_of(s_.exec));
  }
  return trainer.measure(held_out_, rows(), threads_of(s_.exec));
}

void BlockTraining::report(int layer, double error, double before) {
  const BlockTrainingOptions& o = s_.options.training;
  s_.exec.report({"train", ++done_, o.epochs * s_.model.decoder_config().layers,
                  fmt::format("layer {}: error {:.3g}, was {:.3g}", layer, error, before)});
}

bool BlockTraining::train(int layer, std::vector<FinishedWeight>& finished) {
  if (finished.empty()) return false;
  const FakeQuantization q = quantization(finished);
  const WeightLoader load = [&](const ParamSpec& p) -> Weight {
    const auto found = q.known.find(p.name);
    return found == q.known.end() ? load_weight(s_.model, p)
                                  : Weight(dequantize(found->second, s_.exec.threads));
  };
  const auto metric = s_.metrics.find(stream_name(layer));
  NIBBLE_CHECK(metric != s_.metrics.end());
  LayerTrainer trainer({s_.model.decoder_config(), layer, best_train_ops(), metric->second}, load,
                       q, s_.products.bf16_products);
  const double before = trainer.measure(held_out_, rows(), threads_of(s_.exec));
  double best = before;
  std::vector<float> kept;
  for (int64_t i = 0; i < s_.options.training.epochs; ++i) {
    const double now = epoch(trainer, i);
    report(layer, now, before);
    if (!(now < best)) continue;
    best = now;
    kept = trainer.state();
  }
  if (kept.empty()) return false;
  trainer.restore(kept);
  const TrainedWeights made = trainer.result();
  for (FinishedWeight& w : finished) w.weight = made.at(w.name).quantized();
  return true;
}

}  // namespace nibble
