#include "nibble/train/head_gradient.h"

#include <algorithm>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/core/float_formats.h"
#include "nibble/model/model_ends.h"
#include "nibble/train/softmax_row.h"

namespace nibble {
namespace {

constexpr int64_t kLogits = int64_t{1} << 22;  // of the rows that a thread works on together

int64_t rows_together(int64_t vocabulary, int64_t tokens) {
  return std::clamp<int64_t>(kLogits / vocabulary, 1, tokens);
}

const float* or_null(const Buffer<float>& b) { return b.size() == 0 ? nullptr : b.data(); }

}  // namespace

// What one thread needs for `most` rows.
struct HeadGradient::Scratch {
  Scratch(int64_t most, int64_t vocabulary, int64_t hidden, bool capped)
      : ld(round_up(vocabulary, kTrainAlign)),
        x(most * hidden),
        normed(most * hidden),
        transposed(most * hidden),
        logits(most * vocabulary),
        p(most * ld),
        cap_slopes(capped ? most * ld : 0),
        weighted(capped ? most * ld : 0),
        expected(most * hidden),
        gradient(most * hidden),
        mean(most),
        rstd(most) {}
  int64_t ld, rows = 0;      // rows in use
  Buffer<float> x, normed;   // [rows, hidden]
  Buffer<float> transposed;  // what the head reads, [hidden, rows]
  Buffer<float> logits, p;   // [vocabulary, rows], [rows, ld]
  // Where logits are capped, [rows, ld]: dlogits / d(what the head gave), and p times that.
  Buffer<float> cap_slopes, weighted;
  Buffer<float> expected, gradient;  // [rows, hidden]
  Buffer<float> mean, rstd;
};

HeadGradient::HeadGradient(const DecoderConfig& config, const ParameterFinder& find)
    : config_(config) {
  gain_ = buffer_of<float>(find.vector({Role::final_norm}));
  bias_ = buffer_of<float>(find.vector({Role::final_norm, -1, -1, true}));
  load(config.tied ? Weight(find.table(Role::token_embedding))
                   : find.linear({Role::lm_head}).weight);
  find.done({config.tied ? Role::token_embedding : Role::lm_head});
}

// Not by way of a second copy in f32: with a wide vocabulary the head is what is largest.
void HeadGradient::load(const Weight& w) {
  const auto* quantized = std::get_if<QuantizedTensor>(&w);
  const Tensor plain = quantized != nullptr ? dequantize(*quantized) : std::get<Tensor>(w);
  weight_ = Buffer<float>(plain.elements());
  to_f32(plain, std::span(weight_.data(), static_cast<size_t>(plain.elements())));
}

int64_t HeadGradient::work_bytes(const DecoderConfig& config, int64_t tokens) {
  const int64_t rows = rows_together(config.vocab_size, tokens);
  // Logits, probabilities, and what oneDNN packs of them; the rows themselves.
  const int64_t each = config.final_softcap > 0 ? 5 : 3;
  return rows * (each * config.vocab_size + 8 * config.hidden_size) * int64_t{sizeof(float)};
}

TrainNorm<float> HeadGradient::norm_task(Scratch& s) const {
  return {s.rows,
          config_.hidden_size,
          config_.norm == NormKind::layer,
          static_cast<float>(config_.norm_eps),
          s.x.data(),
          or_null(gain_),
          or_null(bias_),
          s.normed.data(),
          s.mean.data(),
          s.rstd.data()};
}

// p = softmax(head(x)), and expected = p W. The head's product is computed transposed, so that one
// copy of the weight W serves both.
void HeadGradient::forward(Scratch& s) const {
  const TrainOps<float>& ops = best_train_ops();
  const int64_t n = config_.vocab_size, k = config_.hidden_size, rows = s.rows;
  if (config_.final_norm) ops.norm(norm_task(s));
  ops.transpose(rows, k, (config_.final_norm ? s.normed : s.x).data(), s.transposed.data(), rows);
  ops.product(
      {n, rows, k, weight_.data(), k, 1, s.transposed.data(), rows, s.logits.data(), rows, false});
  ops.transpose(n, rows, s.logits.data(), s.p.data(), s.ld);
  for (int64_t r = 0; r < rows; ++r) {
    float* const p = s.p.data() + r * s.ld;
    if (!std::all_of(p, p + n, [](float v) { return std::isfinite(v); }))
      throw corrupt("the model's outputs are not finite: its gradients cannot be computed");
    if (config_.final_softcap > 0) cap(s, r);
    softmax_row(ops, n, p);
    for (int64_t i = r * s.ld; i < r * s.ld + n && config_.final_softcap > 0; ++i)
      s.weighted[i] = s.p[i] * s.cap_slopes[i];
  }
  const float* const by = config_.final_softcap > 0 ? s.weighted.data() : s.p.data();
  ops.product({rows, k, n, by, s.ld, 1, weight_.data(), k, s.expected.data(), k, false});
}

// Row r of p: what the head gave becomes logits.
void HeadGradient::cap(Scratch& s, int64_t r) const {
  const auto n = static_cast<size_t>(config_.vocab_size);
  const auto most = static_cast<float>(config_.final_softcap);
  const std::span p(s.p.data() + r * s.ld, n), slopes(s.cap_slopes.data() + r * s.ld, n);
  cap_logits(config_, p);
  for (size_t i = 0; i < n; ++i) slopes[i] = 1 - p[i] / most * (p[i] / most);
}

// dL/d(logits) = p - onehot(label), so that by what the head reads it is p W - W[label]; a
// softcap's slope stands before each row of W.
void HeadGradient::backward(Scratch& s, const std::function<int32_t(int64_t)>& label,
                            float* out) const {
  const int64_t k = config_.hidden_size;
  for (int64_t r = 0; r < s.rows; ++r) {
    const int32_t chosen = label(r);
    const float *expected = s.expected.data() + r * k, *row = weight_.data() + chosen * k;
    const float slope = config_.final_softcap > 0 ? s.cap_slopes[r * s.ld + chosen] : 1;
    float* const gradient = s.gradient.data() + r * k;
    for (int64_t i = 0; i < k; ++i) gradient[i] = expected[i] - slope * row[i];
  }
  if (config_.final_norm) {
    best_train_ops().norm_backward(norm_task(s), {s.gradient.data(), out, nullptr, nullptr, false});
  } else {
    std::copy_n(s.gradient.data(), s.rows * k, out);
  }
}

void HeadGradient::run(const float* x, int64_t tokens, int draws, const LabelChoice& choose,
                       float* out) const {
  const int64_t n = config_.vocab_size, k = config_.hidden_size;
  const int64_t most = rows_together(n, tokens);
  Scratch s(most, n, k, config_.final_softcap > 0);
  for (int64_t first = 0; first < tokens; first += most) {
    s.rows = std::min(most, tokens - first);
    std::copy_n(x + first * k, s.rows * k, s.x.data());
    forward(s);
    for (int draw = 0; draw < draws; ++draw) {
      const auto label = [&](int64_t r) {
        const std::span p(s.p.data() + r * s.ld, static_cast<size_t>(n));
        return choose(first + r, draw, p);
      };
      backward(s, label, out + (draw * tokens + first) * k);
    }
  }
}

int32_t draw_label(std::span<const float> p, double u) {
  double total = 0, sum = 0;
  for (const float v : p) total += v;
  for (size_t i = 0; i < p.size(); ++i) {
    sum += p[i];
    if (sum > u * total) return static_cast<int32_t>(i);
  }
  return static_cast<int32_t>(std::max_element(p.begin(), p.end()) - p.begin());
}

}  // namespace nibble
