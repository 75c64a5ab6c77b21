#include "nibble/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/train/adam_schedule.h"
#include "nibble/train/checkpoint.h"
#include "nibble/train/decoder_step.h"
#include "nibble/train/initial_weights.h"
#include "nibble/train/sampler.h"

namespace nibble {
namespace {

using Sequences = std::vector<std::vector<int32_t>>;

constexpr int kMeasuredTogether = 8;             // sequences
constexpr int64_t kStepPart = int64_t{1} << 20;  // a step is two numbers that f32 holds

ParamLayout layout_of(const TrainOptions& o) {
  ParamLayout out = make_layout(o.config);
  for (size_t i = 0; i < out.table.size(); ++i) {
    if (!o.frozen.contains(out.table[i].name)) continue;
    const int64_t begin = out.offsets[i], size = out.table[i].shape.elements();
    out.frozen.emplace_back(begin, begin + size);
  }
  std::sort(out.frozen.begin(), out.frozen.end());
  return out;
}

}  // namespace

struct Trainer::Impl {
  Impl(const TrainOptions& o, const Sequences& sequences, const TrainStart& start)
      : options(checked(o, sequences)),
        data(sequences),
        layout(layout_of(o)),
        ops(best_train_ops()),
        sampler(data, o.seed, o.batch, o.sequence_tokens(), o.random_windows),
        decoder(layout.config, layout.plans, ops,
                start.parts ? start.parts(layout, ops) : whole(start), o.step) {
    decoder.parts->begin(decoder.runner.weights.data());
  }

  std::unique_ptr<TrainedParts> whole(const TrainStart& start) const {
    return std::make_unique<WholeDecoder>(
        layout, ops,
        [load = start.load, &o = options](const FlatLayout& places, float* trained) {
          if (load) return load_weights(places, load, trained);
          PyRandom random(o.seed);
          draw_weights(places, o.init_std, random, trained);
        },
        options.quantization, options.step.bf16);
  }

  void one_step(int threads) {
    decoder.parts->before_step(step, decoder.runner.weights.data(), threads);
    sampler.fill(step, batch);
    if (options.step.corrupt > 0)
      corrupt_tokens(batch, options.step.corrupt, options.config.vocab_size, options.seed, step);
    const double loss = decoder.step(batch, adam_of_step(options.adam, step, options.steps),
                                     options.adam.clip_norm, threads);
    if (!std::isfinite(loss)) {
      throw invalid_argument(fmt::format(
          "the loss is no longer a number at step {}; use a smaller learning rate", step + 1));
    }
    ++step;
    tokens += batch.targets();
    losses.push_back(static_cast<float>(loss));
    last_loss = loss;
  }

  void adopt(const Checkpoint& c) {
    decoder.parts->adopt_state(c.state);
    best.assign(c.best.begin(), c.best.end());
    best_state.assign(c.best_state.begin(), c.best_state.end());
    looks.clear();
    for (size_t i = 0; i + 3 < c.looks.size(); i += 4)
      looks.push_back(
          {static_cast<int64_t>(c.looks[i]) * kStepPart + static_cast<int64_t>(c.looks[i + 1]),
           c.looks[i + 2], c.looks[i + 3]});
    std::copy(c.weights.begin(), c.weights.end(), decoder.runner.weights.begin());
    std::copy(c.first.begin(), c.first.end(), decoder.runner.first.begin());
    std::copy(c.second.begin(), c.second.end(), decoder.runner.second.begin());
    losses.assign(c.losses.begin(), c.losses.end());
    step = c.step;
    tokens = c.tokens;
    seconds = c.seconds;
  }

  Checkpoint read(const std::string& path) const {
    return read_checkpoint(path, describe(options), hash_sequences(data),
                           decoder.parts->layout().size);
  }

  const TrainOptions options;
  const Sequences& data;
  const ParamLayout layout;
  const TrainOps<float>& ops;
  Sampler sampler;
  DecoderStep decoder;
  Batch batch;
  int64_t step = 0, tokens = 0;
  double seconds = 0, last_loss = 0;
  std::vector<float> losses;
  std::vector<HeldoutLook> looks;
  std::vector<float> best, best_state;
  // The file whose successor must not push it aside: it was found damaged when we resumed.
  mutable std::string damaged;
};

Trainer::Trainer(const TrainOptions& options, const Sequences& data, const TrainStart& start)
    : impl_(std::make_unique<Impl>(options, data, start)) {}
Trainer::~Trainer() = default;

void Trainer::run(const Exec& exec, const TrainHook& hook, int64_t until) {
  using Clock = std::chrono::steady_clock;
  Impl& s = *impl_;
  const double before = s.seconds;
  const auto start = Clock::now();
  while (s.step < std::min(until, s.options.steps)) {
    exec.check_stop();
    s.one_step(std::max(1, exec.threads));
    s.seconds = before + std::chrono::duration<double>(Clock::now() - start).count();
    if (hook) hook({s.step, s.options.steps, s.last_loss, s.tokens, s.seconds});
  }
}

int64_t Trainer::step() const { return impl_->step; }

std::string_view Trainer::kernel_name() const { return impl_->ops.name; }

Trainer::Measured Trainer::measure(const Sequences& sequences, const Exec& exec) {
  Impl& s = *impl_;
  const int threads = std::max(1, exec.threads);
  s.decoder.parts->before_step(s.step, s.decoder.runner.weights.data(), threads);
  Measured out;
  Batch batch;
  for (size_t at = 0; at < sequences.size();) {
    exec.check_stop();
    batch.clear();
    for (int i = 0; i < kMeasuredTogether && at < sequences.size(); ++i)
      batch.append(sequences[at++]);
    const DecoderStep::Losses sum = s.decoder.measure(batch, threads);
    out.loss += sum.labels;
    out.divergence += sum.divergence;
    out.targets += batch.targets();
  }
  out.loss /= static_cast<double>(std::max<int64_t>(out.targets, 1));
  out.divergence /= static_cast<double>(std::max<int64_t>(out.targets, 1));
  return out;
}

bool Trainer::counts(const HeldoutLook& look) const {
  const FakeQuantization& q = impl_->options.quantization;
  return q.schemes.empty() || look.step >= q.begin;
}

double Trainer::aim(const HeldoutLook& look) const {
  const StepOptions& o = impl_->options.step;
  const double share = o.teacher == nullptr ? 0 : o.distill_share;
  return share * double{look.divergence} + (1 - share) * double{look.loss};
}

HeldoutLook Trainer::look(const Sequences& heldout, const Exec& exec, bool keep_best) {
  Impl& s = *impl_;
  const Measured now = measure(heldout, exec);
  if (!std::isfinite(now.loss))
    throw invalid_argument(
        fmt::format("the held-out loss is not a number before step {}; use a smaller learning rate",
                    s.step + 1));
  const HeldoutLook look{s.step, static_cast<float>(now.loss), static_cast<float>(now.divergence)};
  const bool better =
      counts(look) && std::all_of(s.looks.begin(), s.looks.end(), [&](const HeldoutLook& l) {
        return !counts(l) || aim(look) < aim(l);
      });
  s.looks.push_back(look);
  if (keep_best && better) {
    s.best.assign(s.decoder.runner.weights.begin(), s.decoder.runner.weights.end());
    s.best_state = s.decoder.parts->state();
  }
  return look;
}

const std::vector<HeldoutLook>& Trainer::looks() const { return impl_->looks; }

void Trainer::restore_best() {
  Impl& s = *impl_;
  if (s.best.empty()) return;
  std::copy(s.best.begin(), s.best.end(), s.decoder.runner.weights.begin());
  s.decoder.parts->adopt_state(s.best_state);
}

TrainResult Trainer::result() const {
  const Impl& s = *impl_;
  TrainResult out{{}, {}, s.losses, s.tokens, s.seconds};
  for (auto& [name, weight] : s.decoder.parts->result(s.decoder.runner.weights.data())) {
    if (weight.is_quantized())
      out.quantized.emplace(name, weight.quantized());
    else
      out.weights.emplace(name, weight.plain());
  }
  return out;
}

void Trainer::save_checkpoint(const std::string& path) const {
  const Impl& s = *impl_;
  const std::vector<float> state = s.decoder.parts->state();
  std::vector<float> looks;
  for (const HeldoutLook& l : s.looks) {
    const int64_t high = l.step / kStepPart;
    const int64_t low = l.step % kStepPart;
    looks.insert(looks.end(),
                 {static_cast<float>(high), static_cast<float>(low), l.loss, l.divergence});
  }
  const auto view = [](const Buffer<float>& b) {
    return std::span(b.data(), static_cast<size_t>(b.size()));
  };
  write_checkpoint(path,
                   {describe(s.options),
                    hash_sequences(s.data),
                    s.step,
                    s.tokens,
                    s.seconds,
                    s.losses,
                    view(s.decoder.runner.weights),
                    view(s.decoder.runner.first),
                    view(s.decoder.runner.second),
                    state,
                    looks,
                    s.best,
                    s.best_state,
                    {}},
                   s.damaged != path);
  s.damaged.clear();
}

std::string Trainer::load_checkpoint(const std::string& path) {
  std::string previous = path + ".previous";
  try {
    impl_->adopt(impl_->read(path));
    return path;
  } catch (const Error& first) {
    try {
      impl_->adopt(impl_->read(previous));
    } catch (const Error& second) {
      if (first.kind() == ErrorKind::not_found && second.kind() == ErrorKind::not_found)
        throw first;
      throw corrupt(fmt::format("{}; and {}", first.reason(), second.what())).in_file(path);
    }
    impl_->damaged = path;
    return previous;
  }
}

}  // namespace nibble
