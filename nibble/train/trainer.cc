#include "nibble/train/trainer.h"

#include <fmt/format.h>

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

void require_option(bool condition, std::string_view what) {
  if (!condition) throw invalid_argument(std::string(what));
}

void validate_options(const TrainOptions& o) {
  require_option(o.steps >= 1 && o.steps <= 1'000'000'000, "steps must be between 1 and 1e9");
  require_option(o.batch >= 1 && o.batch <= 1'000'000, "batch must be between 1 and 1,000,000");
  require_option(o.init_std > 0 && o.init_std < 100, "init_std must be positive");
  validate(o.adam, o.steps);
}

void validate_data(const TrainOptions& o, const Sequences& data) {
  require_option(!data.empty(), "there is no training data");
  for (size_t i = 0; i < data.size(); ++i) {
    const auto length = static_cast<int64_t>(data[i].size());
    if (length < 2 || (!o.random_windows && length > o.config.context + 1)) {
      throw invalid_argument(fmt::format(
          "training sequence {} has {} ids; expected 2 to {} (text too short, or not cut)", i,
          length, o.config.context + 1));
    }
    for (int32_t id : data[i]) {
      if (id >= 0 && id < o.config.vocab_size) continue;
      throw invalid_argument(fmt::format("training sequence {} has id {}, the vocabulary has {}", i,
                                         id, o.config.vocab_size));
    }
  }
}

// What only some decoders have.
std::string describe_rest(const DecoderConfig& c) {
  const RopeConfig& r = c.rope;
  std::string kinds;
  for (const LayerKind kind : c.layer_kinds) kinds += fmt::format(" {}", static_cast<int>(kind));
  return fmt::format(
      ", positions {} {}, rope {} {} {} {} {} {} {} {} {} {} {} {}, layers{}, window {}, {} of the "
      "experts, scale {}, softcaps {} {}, embedding scale {}",
      static_cast<int>(c.position), c.position_offset, r.theta, static_cast<int>(r.scaling),
      r.factor, r.original_context, r.low_freq_factor, r.high_freq_factor, r.beta_fast, r.beta_slow,
      r.attention_factor, r.mscale, r.mscale_all_dim, r.truncate, kinds, c.sliding_window,
      c.experts_per_token, c.attention_scale, c.attention_softcap, c.final_softcap,
      c.embedding_scale);
}

// All that decides what a run computes, as text: two runs with the same text and data are the same.
std::string describe(const TrainOptions& o) {
  const AdamOptions& a = o.adam;
  std::string out = fmt::format(
      "steps {}, batch {}, seed {}, init {}, windows {}, rate {}, betas {} {}, eps {}, decay {}, "
      "warmup {}, final {}, clip {}, norm {} {}, mlp {}, embedding norm {}, final norm {}, tied {}",
      o.steps, o.batch, o.seed, o.init_std, o.random_windows, a.learning_rate, a.beta1, a.beta2,
      a.eps, a.weight_decay, a.warmup_steps, a.final_fraction, a.clip_norm,
      static_cast<int>(o.config.norm), o.config.norm_eps, static_cast<int>(o.config.mlp),
      o.config.embedding_norm, o.config.final_norm, o.config.tied);
  out += fmt::format(", heads {}", o.config.heads);
  for (const ParamSpec& p : parameter_table(o.config)) {
    out += fmt::format(", {} {}", p.name, p.shape.to_string());
  }
  const std::string rest = describe_rest(o.config);
  return rest == describe_rest({}) ? out : out + rest;
}

const TrainOptions& checked(const TrainOptions& options, const Sequences& data) {
  validate(options.config);
  validate_options(options);
  validate_data(options, data);
  return options;
}

}  // namespace

struct Trainer::Impl {
  Impl(const TrainOptions& o, const Sequences& sequences)
      : options(checked(o, sequences)),
        data(sequences),
        layout(make_layout(o.config)),
        ops(best_train_ops()),
        sampler(data, o.seed, o.batch, o.config.context, o.random_windows),
        decoder(layout, ops) {
    PyRandom random(o.seed);
    draw_weights(layout, o.init_std, random, decoder.runner.weights.data());
  }

  void one_step(int threads) {
    sampler.fill(step, batch);
    const double loss = decoder.step(batch, adam_of_step(options.adam, step, options.steps),
                                     options.adam.clip_norm, threads);
    if (!std::isfinite(loss)) {
      throw invalid_argument(fmt::format(
          "the loss is no longer a number at step {}; use a smaller learning rate", step + 1));
    }
    ++step;
    tokens += batch.rows();
    losses.push_back(static_cast<float>(loss));
    last_loss = loss;
  }

  void adopt(const Checkpoint& c) {
    std::copy(c.weights.begin(), c.weights.end(), decoder.runner.weights.begin());
    std::copy(c.first.begin(), c.first.end(), decoder.runner.first.begin());
    std::copy(c.second.begin(), c.second.end(), decoder.runner.second.begin());
    losses.assign(c.losses.begin(), c.losses.end());
    step = c.step;
    tokens = c.tokens;
    seconds = c.seconds;
  }

  Checkpoint read(const std::string& path) const {
    return read_checkpoint(path, describe(options), hash_sequences(data), layout.size);
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
  // The file whose successor must not push it aside: it was found damaged when we resumed.
  mutable std::string damaged;
};

Trainer::Trainer(const TrainOptions& options, const Sequences& data)
    : impl_(std::make_unique<Impl>(options, data)) {}
Trainer::~Trainer() = default;

void Trainer::run(const Exec& exec, const TrainHook& hook) {
  using Clock = std::chrono::steady_clock;
  Impl& s = *impl_;
  const double before = s.seconds;
  const auto start = Clock::now();
  while (s.step < s.options.steps) {
    exec.check_stop();
    s.one_step(std::max(1, exec.threads));
    s.seconds = before + std::chrono::duration<double>(Clock::now() - start).count();
    if (hook) hook({s.step, s.options.steps, s.last_loss, s.tokens, s.seconds});
  }
}

int64_t Trainer::step() const { return impl_->step; }

std::string_view Trainer::kernel_name() const { return impl_->ops.name; }

TrainResult Trainer::result() const {
  const Impl& s = *impl_;
  return {export_weights(s.layout, s.decoder.runner.weights.data()), s.losses, s.tokens, s.seconds};
}

void Trainer::save_checkpoint(const std::string& path) const {
  const Impl& s = *impl_;
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
