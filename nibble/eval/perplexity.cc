#include "nibble/eval/perplexity.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "nibble/core/error.h"
#include "nibble/core/stoppable.h"
#include "nibble/nn/losses.h"

namespace nibble {
namespace {

// Sequences handled between two looks at the progress bar.
constexpr size_t kSequences = 64;

// One sequence's numbers, filled by one thread.
struct Record {
  double nll = 0, base_nll = 0, delta_squares = 0;
  int64_t tokens = 0, first_scored = 1;
  std::vector<float> kl;
  std::vector<uint8_t> agree;
};

using Score = std::function<void(const ScoredSequence&, const Exec&, Record&)>;

void score_losses(std::span<const float> logits, std::span<const int32_t> targets, double& nll) {
  const size_t vocab = logits.size() / targets.size();
  for (size_t t = 0; t < targets.size(); ++t)
    nll += cross_entropy(logits.subspan(t * vocab, vocab), targets[t]);
}

Error nothing_to_predict() {
  return corrupt("measuring needs at least 2 tokens in a row (got fewer): give more text");
}

bool predicts(const ScoredSequence& s) {
  return s.first_scored >= 1 && s.first_scored < static_cast<int64_t>(s.ids.size());
}

// What the model reads, what it must predict, and the logits that do so.
std::span<const int32_t> inputs(const ScoredSequence& s) {
  return std::span(s.ids).first(s.ids.size() - 1);
}
std::span<const int32_t> targets(const ScoredSequence& s) {
  return std::span(s.ids).subspan(static_cast<size_t>(s.first_scored));
}
std::span<const float> predictions(const std::vector<float>& logits, const ScoredSequence& s) {
  const size_t vocab = logits.size() / (s.ids.size() - 1);
  return std::span(logits).last(targets(s).size() * vocab);
}

// Runs `score` over the sequences.
std::vector<Record> score_all(const std::vector<ScoredSequence>& sequences, const Score& score,
                              const Exec& exec, std::string_view task) {
  std::vector<Record> records(sequences.size());
  const Exec inner = exec.single();
  for (size_t begin = 0; begin < sequences.size(); begin += kSequences) {
    const size_t end = std::min(begin + kSequences, sequences.size());
    parallel_for(static_cast<int64_t>(end - begin), exec, [&](int64_t i) {
      const size_t at = begin + static_cast<size_t>(i);
      if (predicts(sequences[at])) score(sequences[at], inner, records[at]);
    });
    exec.report({task, static_cast<int64_t>(end), static_cast<int64_t>(sequences.size()), {}});
  }
  return records;
}

// The standard error of sum(x) / sum(n) over sequences: the ratio estimator's (Cochran 1977,
// section 6.3). Those that predict nothing are none.
double ratio_standard_error(std::span<const double> x, std::span<const int64_t> n, double ratio) {
  const auto count = static_cast<double>(std::ssize(n) - std::count(n.begin(), n.end(), 0));
  if (count < 2) return 0;
  double squares = 0, total = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double residual = x[i] - ratio * static_cast<double>(n[i]);
    squares += residual * residual;
    total += static_cast<double>(n[i]);
  }
  return std::sqrt(squares * count / (count - 1)) / total;
}

LossResult summarize(std::vector<double> nll, std::vector<int64_t> tokens) {
  LossResult out;
  double sum = 0;
  for (const double v : nll) sum += v;
  for (const int64_t t : tokens) out.tokens += t;
  if (out.tokens == 0) throw nothing_to_predict();
  out.loss = sum / static_cast<double>(out.tokens);
  out.perplexity = std::exp(out.loss);
  out.standard_error = ratio_standard_error(nll, tokens, out.loss);
  out.sequence_nll = std::move(nll);
  out.sequence_tokens = std::move(tokens);
  return out;
}

// SequenceLogits may come from anywhere: a Decoder refuses such logits itself.
LossResult finite(LossResult r, std::string_view whose) {
  if (std::isfinite(r.loss)) return r;
  throw corrupt(fmt::format("{} loss is {}: its logits are not finite", whose, r.loss));
}

template <class Get>
LossResult summarize(const std::vector<Record>& records, Get get) {
  std::vector<double> nll;
  std::vector<int64_t> tokens;
  for (const Record& r : records) {
    nll.push_back(get(r));
    tokens.push_back(r.tokens);
  }
  return summarize(std::move(nll), std::move(tokens));
}

double quantile(const std::vector<float>& sorted, double q) {
  const double at = q * static_cast<double>(sorted.size() - 1);
  const auto low = static_cast<size_t>(at);
  const size_t high = std::min(low + 1, sorted.size() - 1);
  return sorted[low] + (at - static_cast<double>(low)) * (sorted[high] - sorted[low]);
}

double sum_of(const std::vector<float>& values) {
  double sum = 0;
  for (const float v : values) sum += v;
  return sum;
}

double agreeing(const Record& r) {
  return static_cast<double>(std::count(r.agree.begin(), r.agree.end(), 1));
}

void fill_quantiles(const std::vector<Record>& records, Divergence& out) {
  std::vector<float> all;
  for (const Record& r : records) all.insert(all.end(), r.kl.begin(), r.kl.end());
  std::sort(all.begin(), all.end());
  out.kl_median = quantile(all, 0.5);
  out.kl_p90 = quantile(all, 0.9);
  out.kl_p99 = quantile(all, 0.99);
  out.kl_p999 = quantile(all, 0.999);
  out.kl_max = all.back();
}

// Stretches of equal length over the positions of the longest sequence; empty ones are left out.
std::vector<PositionDivergence> by_position(const std::vector<Record>& records) {
  constexpr int64_t kStretches = 32;
  int64_t end = 1;
  for (const Record& r : records) end = std::max(end, r.first_scored + r.tokens);
  const int64_t length = (end - 1 + kStretches - 1) / kStretches;
  std::vector<PositionDivergence> all, out;
  for (int64_t first = 1; first < end; first += length)
    all.push_back({first, std::min(first + length, end) - 1, 0, 0, 0});
  for (const Record& r : records) {
    for (size_t t = 0; t < r.kl.size(); ++t) {
      auto& at = all[static_cast<size_t>((r.first_scored + static_cast<int64_t>(t) - 1) / length)];
      ++at.tokens;
      at.top1_agreement += r.agree[t];
      at.kl_mean += r.kl[t];
    }
  }
  for (PositionDivergence& p : all) {
    if (p.tokens == 0) continue;
    p.top1_agreement /= static_cast<double>(p.tokens);
    p.kl_mean /= static_cast<double>(p.tokens);
    out.push_back(p);
  }
  return out;
}

Divergence divergence_of(const std::vector<Record>& records) {
  Divergence out;
  const LossResult kl = summarize(records, [](const Record& r) { return sum_of(r.kl); });
  out.kl_mean = kl.loss;
  out.kl_standard_error = kl.standard_error;
  fill_quantiles(records, out);
  const LossResult same = summarize(records, agreeing);
  out.top1_agreement = same.loss;
  out.top1_standard_error = same.standard_error;
  const LossResult squares = summarize(records, [](const Record& r) { return r.delta_squares; });
  out.rms_delta_p = std::sqrt(squares.loss);
  // Of a root, to first order: half the relative error.
  if (squares.loss > 0)
    out.rms_delta_p_standard_error = squares.standard_error / (2 * out.rms_delta_p);
  out.by_position = by_position(records);
  return out;
}

void score_pair(std::span<const float> model, std::span<const float> base,
                std::span<const int32_t> targets, Record& r) {
  const size_t vocab = model.size() / targets.size();
  for (size_t t = 0; t < targets.size(); ++t) {
    const auto p = base.subspan(t * vocab, vocab), q = model.subspan(t * vocab, vocab);
    const double nll = cross_entropy(q, targets[t]), base_nll = cross_entropy(p, targets[t]);
    const double delta = std::exp(-nll) - std::exp(-base_nll);
    r.nll += nll;
    r.base_nll += base_nll;
    r.delta_squares += delta * delta;
    r.kl.push_back(static_cast<float>(kl_divergence(p, q)));
    r.agree.push_back(argmax(p) == argmax(q) ? 1 : 0);
  }
}

}  // namespace

SequenceLogits logits_of(const Decoder& model, DType kv) {
  return [&model, kv](std::span<const int32_t> ids, const Exec& exec) {
    KvCache cache = model.make_cache(static_cast<int64_t>(ids.size()), kv);
    return model.forward(ids, cache, Decoder::Logits::all, exec);
  };
}

void require_predictions(const std::vector<ScoredSequence>& sequences) {
  if (std::none_of(sequences.begin(), sequences.end(), predicts)) throw nothing_to_predict();
}

const LossResult& require_perplexity(const LossResult& r) {
  if (std::isfinite(r.perplexity)) return r;
  throw corrupt(fmt::format(
      "the model's loss is {:.6g} nats a token: its perplexity is not a finite number", r.loss));
}

LossResult measure_loss(const SequenceLogits& model, const std::vector<ScoredSequence>& sequences,
                        const Exec& exec, std::string_view task) {
  const Score score = [&](const ScoredSequence& s, const Exec& inner, Record& r) {
    const std::vector<float> logits = model(inputs(s), inner);
    r.tokens = static_cast<int64_t>(targets(s).size());
    score_losses(predictions(logits, s), targets(s), r.nll);
  };
  const auto records = score_all(sequences, score, exec, task);
  return finite(summarize(records, [](const Record& r) { return r.nll; }), "the model's");
}

ComparisonResult compare_models(const SequenceLogits& model, const SequenceLogits& base,
                                const std::vector<ScoredSequence>& sequences, const Exec& exec,
                                std::string_view task) {
  const Score score = [&](const ScoredSequence& s, const Exec& inner, Record& r) {
    const std::vector<float> q = model(inputs(s), inner), p = base(inputs(s), inner);
    r.tokens = static_cast<int64_t>(targets(s).size());
    r.first_scored = s.first_scored;
    score_pair(predictions(q, s), predictions(p, s), targets(s), r);
  };
  const auto records = score_all(sequences, score, exec, task);
  ComparisonResult out;
  out.model = finite(summarize(records, [](const Record& r) { return r.nll; }), "the model's");
  out.base =
      finite(summarize(records, [](const Record& r) { return r.base_nll; }), "the baseline's");
  const LossResult difference =
      summarize(records, [](const Record& r) { return r.nll - r.base_nll; });
  out.loss_difference = difference.loss;
  out.loss_difference_standard_error = difference.standard_error;
  out.divergence = divergence_of(records);
  return out;
}

}  // namespace nibble
