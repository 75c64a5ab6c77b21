#include "nibble/compress/estimate.h"

#include <algorithm>
#include <chrono>

#include "nibble/core/random.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/quant/bits.h"
#include "nibble/quant/dense.h"

namespace nibble {
namespace {

constexpr int64_t kFixedBytes = int64_t{64} << 20;  // the program, oneDNN's buffers, the tokenizer
constexpr int64_t kBlockRows = 512;                 // that the collector gathers

double seconds_of(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Multiplications a second of a large product.
double product_rate(int threads) {
  constexpr int64_t kSize = 1024;
  const std::vector<float> x(static_cast<size_t>(kSize * kSize), 0.5f), y = x;
  std::vector<float> c(x.size());
  const auto once = [&] { add_gram(kSize, kSize, kSize, x.data(), y.data(), c.data(), threads); };
  once();
  return static_cast<double>(kSize * kSize * kSize) / seconds_of(once);
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

// Bytes and multiplications of one calibrated matrix [n, k] whose inputs are seen for `tokens`.
struct Work {
  double multiplications = 0;
  int64_t bytes = 0;
};
Work work_of(int64_t n, int64_t k, int64_t tokens, const QuantizeOptions& o, bool dual) {
  const auto rows = static_cast<double>(n), columns = static_cast<double>(k);
  const double square = columns * columns, t = static_cast<double>(tokens);
  const bool hessian = dual || method(o.method).needs == Calibration::hessian;
  Work out;
  out.multiplications = t * rows * columns * (dual ? 2 : 1);  // the forward passes
  if (dual) out.multiplications += 3 * rows * square + square * columns / 3;
  if (method(o.method).needs == Calibration::hessian)
    out.multiplications +=
        rows * square * (o.method == "autoround" ? o.tuning.steps : 3 + o.tuning.sweeps);
  const int64_t matrices = (hessian ? 4 : 0) + (dual ? 2 : 0);  // H, damped, factors; cross
  out.bytes = matrices * k * k * 4 + n * k * (3 * 4 + 2) + (dual ? 3 : 1) * kBlockRows * k * 4;
  return out;
}

// The Gram matrices belong to a group's input: four in a block, of which half is computed; and the
// sums against the original model, for qkv and up with its input, for o and down with the stream.
double gram_work(const DecoderConfig& config, int64_t tokens, int64_t width, int64_t inner,
                 bool dual) {
  const auto d = static_cast<double>(width), i = static_cast<double>(inner);
  const double sums = (3 * d * d + i * i) / 2 + (dual ? 3 * d * d + d * i : 0);
  const double share = width >= kWideGram && has_bf16_products() ? 0.5 : 1;
  return share * sums * static_cast<double>(tokens) * static_cast<double>(config.layers);
}

}  // namespace

QuantizeEstimate estimate_quantization(const ModelFolder& model,
                                       const std::vector<ParameterPlan>& plans,
                                       const QuantizeOptions& options, int threads) {
  const bool calibrated = method(options.method).needs != Calibration::nothing;
  const bool dual = calibrated && options.inputs == CalibrationInputs::corrected;
  QuantizeEstimate out;
  int64_t length = 0, width = 0, inner = 0;
  if (calibrated) {
    const DecoderConfig& c = model.decoder_config();
    length = std::min(options.calibration.length, c.context);
    out.tokens = length * options.calibration.samples;
    width = c.hidden_size;
    inner = std::max({c.hidden_size, c.intermediate_size, c.heads * c.head_dim});
  }
  double multiplications = 0, weights = 0;
  int64_t largest = 0, block = 0;
  QuantScheme scheme = options.scheme;
  for (const ParameterPlan& p : plans) {
    if (!p.spec.is_matrix()) continue;
    const int64_t n = p.spec.shape[0], k = p.spec.shape[1];
    out.file_bytes +=
        p.scheme ? planned_bytes(*p.scheme, n, k, options.scale_dtype) : n * k * size_of(p.dtype);
    if (p.spec.layer == 0) block += n * k * 4;
    if (!p.scheme) continue;
    scheme = *p.scheme;
    const bool walked = calibrated && (p.spec.layer >= 0 || p.spec.role == Role::lm_head);
    const Work w = walked ? work_of(n, k, out.tokens, options, dual) : Work{0, n * k * 8};
    weights += static_cast<double>(n * k);
    multiplications += w.multiplications;
    largest = std::max(largest, w.bytes);
  }
  if (calibrated && (dual || method(options.method).needs == Calibration::hessian))
    multiplications += gram_work(model.decoder_config(), out.tokens, width, inner, dual);
  const int64_t streams = out.tokens * (width + inner) * 4 * (dual ? 2 : 1);
  const int64_t samples_at_work = threads * length * (width + 3 * inner) * 4 * (dual ? 2 : 1);
  const int64_t fixed = kFixedBytes + largest + (calibrated ? block * (dual ? 3 : 2) : 0);
  out.spilled_bytes = fixed + samples_at_work;
  out.memory_bytes = out.spilled_bytes + streams;
  if (weights > 0) out.seconds = weights * seconds_a_weight(options, scheme, threads);
  if (multiplications > 0) out.seconds += multiplications / product_rate(threads);
  return out;
}

}  // namespace nibble
