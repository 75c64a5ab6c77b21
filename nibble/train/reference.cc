#include "nibble/train/reference.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/text/char_tokenizer.h"
#include "nibble/train/initial_weights.h"
#include "nibble/train/layout.h"
#include "nibble/train/presets.h"

namespace nibble {
namespace {

using Ids = std::vector<int32_t>;

constexpr size_t kHeldoutNames = 3203;
constexpr int kSamples = 20;
constexpr double kTemperature = 0.5;
constexpr int64_t kDecaySteps = 1000;

TrainOptions options_for(const CharTokenizer& tokenizer) {
  TrainOptions options = preset("micro");
  options.config.vocab_size = tokenizer.vocab_size();
  return options;
}

class ReferenceRun {
 public:
  ReferenceRun(std::string_view text, uint64_t seed)
      : random_(seed), names_(split_lines(text)), tokenizer_(CharTokenizer::from_text(text, true)) {
    if (names_.empty()) throw invalid_argument("the text has no names to train on");
    random_.shuffle(names_);
    draw_weights(layout_, options_.init_std, random_, weights_.data());
  }

  double step(int64_t index) {
    const Ids ids = sequence(names_[static_cast<size_t>(index) % names_.size()]);
    gradient_.clear();
    const double loss = run(ids, &slopes_) / static_cast<double>(batch_.rows());
    adam(index);
    return loss;
  }

  double weight_sum() const {
    double sum = 0;
    for (size_t i = 0; i < layout_.table.size(); ++i) {
      const double* w = weights_.data() + layout_.offsets[i];
      for (int64_t j = 0; j < layout_.table[i].shape.elements(); ++j) sum += w[j];
    }
    return sum;
  }

  std::string sample() {
    Ids ids = {tokenizer_.bos().value()};
    for (int64_t i = 0; i < layout_.config.context; ++i) {
      const auto next = static_cast<int32_t>(random_.choice(next_token_weights(ids)));
      if (next == tokenizer_.bos()) break;
      ids.push_back(next);
    }
    return tokenizer_.decode(ids);
  }

  double heldout_nll() {
    double sum = 0;
    int64_t tokens = 0;
    const size_t first = names_.size() - std::min(names_.size(), kHeldoutNames);
    for (size_t i = first; i < names_.size(); ++i) {
      sum += run(sequence(names_[i]), nullptr);
      tokens += batch_.rows();
    }
    return sum / static_cast<double>(tokens);
  }

  int64_t tokens() const { return batch_.rows(); }
  TensorMap weights() const { return export_weights(layout_, weights_.data()); }
  const DecoderConfig& config() const { return layout_.config; }

 private:
  Ids sequence(const std::string& name) const {
    Ids ids = tokenizer_.encode(name);
    ids.insert(ids.begin(), tokenizer_.bos().value());
    ids.push_back(tokenizer_.bos().value());
    ids.resize(std::min(ids.size(), static_cast<size_t>(layout_.config.context) + 1));
    return ids;
  }

  Chunk whole() const { return {0, 1, 0, batch_.rows()}; }

  void set_batch(const Ids& ids) {
    batch_.clear();
    batch_.append(ids);
    transpose_weights(layout_, ops_, weights_.data(), transposed_.data());
  }

  // The sum of the losses of one sequence; the gradient of their mean is added to `into`.
  double run(const Ids& ids, const DecoderSlopes<double>* into) {
    set_batch(ids);
    return pass_.run(view_, batch_, whole(), 1.0 / static_cast<double>(batch_.rows()), into);
  }

  void adam(int64_t index) {
    constexpr double kRate = 0.01, kBeta1 = 0.85, kBeta2 = 0.99, kEps = 1e-8;
    const double t = static_cast<double>(index + 1);
    const double rate = kRate * (1 - static_cast<double>(index) / kDecaySteps);
    ops_.adam({rate, kBeta1, kBeta2, kEps, 1 / (1 - std::pow(kBeta1, t)),
               1 / (1 - std::pow(kBeta2, t)), 0, 1},
              layout_.size, gradient_.data(), first_.data(), second_.data(), weights_.data());
  }

  // softmax(logits / temperature) for the token behind `ids`.
  std::vector<double> next_token_weights(Ids ids) {
    ids.push_back(0);  // a target that nothing looks at
    set_batch(ids);
    const std::span<const double> logits = pass_.logits(view_, batch_, whole());
    std::vector<double> out(logits.begin(), logits.end());
    for (double& x : out) x /= kTemperature;
    const double top = *std::max_element(out.begin(), out.end());
    double sum = 0;
    for (double& x : out) sum += x = std::exp(x - top);
    for (double& x : out) x /= sum;
    return out;
  }

  const TrainOps<double>& ops_ = ref_train_ops_f64();
  PyRandom random_;
  std::vector<std::string> names_;
  CharTokenizer tokenizer_;
  const TrainOptions options_ = options_for(tokenizer_);
  const ParamLayout layout_ = make_layout(options_.config);
  Buffer<double> weights_{layout_.size}, first_{layout_.size}, second_{layout_.size},
      gradient_{layout_.size}, transposed_{layout_.transposed_size};
  const DecoderView<double> view_ = view_of<double>(layout_, weights_.data(), transposed_.data());
  const DecoderSlopes<double> slopes_ = slopes_of(layout_, gradient_.data());
  DecoderGradient<double> pass_{layout_.config, layout_.plans, ops_};
  Batch batch_;
};

}  // namespace

ReferenceResult train_reference(std::string_view text, uint64_t seed, int64_t steps,
                                const Exec& exec, const TrainHook& hook) {
  if (steps < 1 || steps > kDecaySteps) {
    throw invalid_argument(
        fmt::format("reference mode runs 1 to {} steps (got {})", kDecaySteps, steps));
  }
  const auto start = std::chrono::steady_clock::now();
  ReferenceRun run(text, seed);
  ReferenceResult out;
  out.config = run.config();
  int64_t tokens = 0;
  for (int64_t i = 0; i < steps; ++i) {
    exec.check_stop();
    out.losses.push_back(run.step(i));
    tokens += run.tokens();
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
    out.seconds = spent.count();
    if (hook) hook({i + 1, steps, out.losses.back(), tokens, out.seconds});
  }
  out.tokens = tokens;
  out.weight_sum = run.weight_sum();
  for (int i = 0; i < kSamples; ++i) out.samples.push_back(run.sample());
  out.heldout_nll = run.heldout_nll();
  out.weights = run.weights();
  return out;
}

}  // namespace nibble
