#include "nibble/compress/estimate.h"

#include <algorithm>
#include <chrono>
#include <map>

#include "nibble/compress/block_training.h"
#include "nibble/compress/calibrated_walk.h"
#include "nibble/compress/fisher_estimate.h"
#include "nibble/compress/fisher_walk.h"
#include "nibble/compress/prepare.h"
#include "nibble/compress/rare_experts.h"
#include "nibble/core/parallel.h"
#include "nibble/core/random.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/dense.h"

namespace nibble {
namespace {

constexpr int64_t kFixedBytes = int64_t{64} << 20;  // the program, oneDNN's buffers, the tokenizer
constexpr int64_t kBlockRows = 512;                 // that the collector gathers
// What is around the f32 products of a calibrated walk (attention, rounding, copies) takes half as
// long as they do; Gram sums that are timed have it in them. Measured: docs/performance.md.
constexpr double kAround = 1.5;

double seconds_of(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Multiplications a second of large products: f32, and as wide Gram sums and passes have them.
struct Rates {
  double f32 = 0, bf16 = 0;
};
Rates product_rates(int threads) {
  constexpr int64_t kWide = 2 * kWideGram, kDeep = 512, kRows = 256;
  constexpr double kCount = double{kDeep} * kWide * kWide;
  const std::vector<float> x(static_cast<size_t>(kDeep * kWide), 0.5f), y = x;
  std::vector<float> c(static_cast<size_t>(kWide * kWide));
  const auto rate = [](const std::function<void()>& once) {
    once();
    double least = seconds_of(once);  // others may be at work
    for (int i = 0; i < 4; ++i) least = std::min(least, seconds_of(once));
    return kCount / least;
  };
  const auto plain = [&] {
    parallel_for(kWide / kRows, threads, [&](int64_t i) {
      multiply(kRows, kWide, kDeep, x.data() + i * kRows * kDeep, kDeep, y.data(), kWide,
               c.data() + i * kRows * kWide, kWide, false);
    });
  };
  const auto sums = [&] { add_gram(kDeep, kWide, kWide, x.data(), y.data(), c.data(), threads); };
  return {rate(plain), rate(sums)};
}

// Seconds that a method which needs no products takes for one weight.
double seconds_a_weight(const QuantizeOptions& options, const QuantScheme& scheme, int threads) {
  constexpr int64_t kRows = 64, kColumns = 1024;
  Tensor w(DType::f32, {kRows, kColumns});
  PyRandom random(1);
  for (float& v : w.mutable_data<float>()) v = static_cast<float>(random.random() - 0.5);
  const bool blind = method(options.method).needs == Calibration::nothing;
  MethodOptions tuning = options.tuning;
  tuning.clip = !blind;
  const Method& chosen = method(blind ? options.method : "rtn");
  const auto once = [&] { chosen.quantize({w, scheme, tuning, "w", nullptr, threads}); };
  once();
  return seconds_of(once) / static_cast<double>(kRows * kColumns);
}

// Multiplications, by the numbers they are made with.
struct Products {
  double f32 = 0, bf16 = 0;
  void add(double count, bool in_bf16) { (in_bf16 ? bf16 : f32) += count; }
};

// What a calibrated walk is like.
struct WalkKind {
  int64_t tokens = 0;
  bool dual = false;  // the original model is run as well, and weights make up for the difference
  bool bf16 = false;  // its passes
};

// A calibrated matrix [n, k]: its products, and the bytes that are in memory for it.
int64_t add_matrix(int64_t n, int64_t k, const WalkKind& walk, const QuantizeOptions& o,
                   Products& products) {
  const auto rows = static_cast<double>(n), columns = static_cast<double>(k);
  const double square = columns * columns;
  const bool hessian = method(o.method).needs >= Calibration::hessian;
  products.add(static_cast<double>(walk.tokens) * rows * columns * (walk.dual ? 2 : 1), walk.bf16);
  if (walk.dual) products.add(3 * rows * square + square * columns / 3, false);
  if (hessian)
    products.add(rows * square * (o.method == "autoround" ? o.tuning.steps : 3 + o.tuning.sweeps),
                 false);
  const bool fisher = method(o.method).needs == Calibration::fisher;
  if (fisher)  // the rows' side: its feedback, the gradients of each sweep; and the errors of both
    products.add(rows * columns *
                         std::min(rows, static_cast<double>(FisherOptions::kLargestBlock)) *
                         (3 + o.tuning.sweeps) +
                     3 * rows * square,
                 false);
  // H, damped, factors; cross
  const int64_t matrices = (hessian || walk.dual ? 4 : 0) + (walk.dual ? 2 : 0);
  return matrices * k * k * 4 + n * k * (3 * 4 + 2 + (fisher ? 4 * 4 + 2 : 0)) +
         (walk.dual ? 3 : 1) * kBlockRows * k * 4;
}

// The Gram matrices belong to a group's input: four in a block, of which half is computed; and the
// sums against the original model, for qkv and up with its input, for o and down with the stream.
void add_grams(const DecoderConfig& config, int64_t width, int64_t inner, const WalkKind& walk,
               Products& products) {
  const auto d = static_cast<double>(width), i = static_cast<double>(inner);
  const double each = static_cast<double>(walk.tokens) * static_cast<double>(config.layers);
  const double squares = (3 * d * d + i * i) / 2 + (walk.dual ? 3 * d * d + d * i : 0);
  products.add(each * squares, width >= kWideGram);
}

}  // namespace

QuantizeEstimate estimate_quantization(const Model& model, const std::vector<ParameterPlan>& plans,
                                       const QuantizeOptions& options, int threads) {
  const bool calibrated = is_calibrated(options) && options.importance_file.empty();
  QuantizeEstimate out;
  int64_t length = 0, width = 0, inner = 0;
  if (calibrated) {
    const DecoderConfig& c = model.decoder_config();
    length = std::min(options.calibration.length, c.context);
    out.tokens = length * options.calibration.samples;
    width = c.hidden_size;
    inner = std::max({c.hidden_size, c.intermediate_size, c.heads * c.head_dim,
                      c.heads * c.full_heads.value_or(HeadsConfig{}).head_dim, c.mamba.columns(),
                      c.delta.channels() + c.delta.values()});
  }
  const bool dual = calibrated && corrects_weights(options);
  const WalkKind walk{out.tokens, dual,
                      calibrated && walks_in_bf16(model.decoder_config(), plans, options)};
  Products products;
  double weights = 0;
  int64_t largest = 0, block = 0;
  std::map<int, int64_t> layers;  // bytes of their floats
  QuantScheme scheme = options.scheme;
  for (const ParameterPlan& p : plans) {
    if (!p.spec.is_matrix()) continue;
    const int64_t n = p.spec.shape[0], k = p.spec.shape[1];
    out.file_bytes +=
        p.scheme ? planned_bytes(*p.scheme, n, k, options.scale_dtype) : n * k * size_of(p.dtype);
    if (p.spec.layer >= 0) block = std::max(block, layers[p.spec.layer] += n * k * 4);
    if (!p.scheme) continue;
    scheme = *p.scheme;
    const bool walked = calibrated && (is_walked(p.spec) || is_judged(model, options, p));
    weights += static_cast<double>(n * k);
    largest = std::max(largest, walked ? add_matrix(n, k, walk, options, products) : n * k * 8);
  }
  if (calibrated && (dual || method(options.method).needs >= Calibration::hessian))
    add_grams(model.decoder_config(), width, inner, walk, products);
  FisherEstimate fisher;
  if (options.trains_blocks || method(options.method).needs == Calibration::fisher)
    fisher = estimate_fisher(model.decoder_config(), out.tokens, length, threads);
  if (fisher.products > 0)
    products.add(fisher.products, model.decoder_config().hidden_size >= options.bf16_width);
  BlockTrainingEstimate training;
  if (calibrated) training = estimate_block_training(model.decoder_config(), options, threads);
  products.add(training.products, walk.bf16);
  RareExpertBytes rare;
  if (calibrated && method(options.method).needs != Calibration::nothing)
    rare = rare_expert_bytes(model.decoder_config(), out.tokens,
                             dual || method(options.method).needs >= Calibration::hessian);
  const int64_t streams =
      out.tokens * (width + inner) * 4 * (dual ? 2 : 1) + training.stream_bytes + rare.kept;
  const int64_t samples_at_work = threads * length * (width + 3 * inner) * 4 * (dual ? 2 : 1);
  const int64_t fixed = kFixedBytes + largest + rare.work + training.work_bytes +
                        (calibrated ? block * (dual ? 3 : 2) : 0);
  // Gradients come before the walk, which has their metrics beside it.
  const int64_t first = kFixedBytes + fisher.work_bytes;
  out.spilled_bytes = fisher.metric_bytes + std::max(fixed + samples_at_work, first);
  out.memory_bytes = fisher.metric_bytes +
                     std::max(fixed + samples_at_work + streams, first + fisher.stream_bytes);
  if (calibrated) out.text_bytes = kFixedBytes + text_memory(model, options.calibration, threads);
  if (options.calibration.text.empty()) {
    out.memory_bytes = std::max(out.memory_bytes, out.text_bytes);
    out.spilled_bytes = std::max(out.spilled_bytes, out.text_bytes);
  }
  if (weights > 0) out.seconds = weights * seconds_a_weight(options, scheme, threads);
  if (calibrated) {
    const Rates rates = product_rates(threads);
    out.seconds += kAround * products.f32 / rates.f32 + products.bf16 / rates.bf16;
  }
  return out;
}

}  // namespace nibble
