#include "nibble/train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "nibble/core/error.h"
#include "nibble/core/random.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/train/adam_schedule.h"
#include "nibble/train/checkpoint.h"
#include "nibble/train/decoder_step.h"
#include "nibble/train/initial_weights.h"
#include "nibble/train/sampler.h"

namespace nibble {
namespace {

using Sequences = std::vector<std::vector<int32_t>>;

constexpr int kMeasuredTogether = 8;  // sequences

void require_option(bool condition, std::string_view what) {
  if (!condition) throw invalid_argument(std::string(what));
}

void validate_options(const TrainOptions& o) {
  require_option(o.steps >= 1 && o.steps <= 1'000'000'000, "steps must be between 1 and 1e9");
  require_option(o.batch >= 1 && o.batch <= 1'000'000, "batch must be between 1 and 1,000,000");
  require_option(o.init_std > 0 && o.init_std < 100, "init_std must be positive");
  require_option(o.window >= 0 && o.window <= o.config.context,
                 fmt::format("windows of {} tokens are longer than the model's context of {}",
                             o.window, o.config.context));
  require_option(o.step.accumulate >= 1, "`accumulate` must be at least 1");
  require_option(o.step.expert_balance >= 0 && o.step.expert_balance < 1e3,
                 "the coefficient of the experts' balance must be 0 to 1000");
  if (o.step.bf16 && !has_bf16_products())
    throw unsupported("`bf16`: this processor does not multiply bf16 (or NIBBLE_ISA forbids it)");
  require_option(o.step.corrupt == 0 || (o.step.corrupt > 0 && o.step.corrupt < 1 &&
                                         o.step.teacher != nullptr && o.step.distill_share == 1),
                 "`corrupt` must be 0 to 1, and is for what a teacher alone is learnt from");
  require_option(o.step.distill_share >= 0 && o.step.distill_share <= 1,
                 "`distill_share` must be 0 to 1");
  const FakeQuantization& q = o.quantization;
  require_option(q.begin >= 0 && (q.schemes.empty() || q.begin < o.steps),
                 fmt::format("quantization begins at step {}, behind the last", q.begin));
  require_option(q.refresh >= 1 && q.scale_rate >= 0 && q.scale_rate < 1e3,
                 "the learning rate of scales must be 0 to 1000 times that of weights");
  validate(o.adam, o.steps);
}

// Tokens of a sequence as it goes through the model.
int64_t window_of(const TrainOptions& o) { return o.window > 0 ? o.window : o.config.context; }

void validate_data(const TrainOptions& o, const Sequences& data) {
  require_option(!data.empty(), "there is no training data");
  for (size_t i = 0; i < data.size(); ++i) {
    const auto length = static_cast<int64_t>(data[i].size());
    if (length < 2 || (!o.random_windows && length > o.config.context + 1)) {
      throw invalid_argument(fmt::format(
          "training sequence {} has {} ids; expected 2 to {} (text too short, or not cut)", i,
          length, o.config.context + 1));
    }
    if (std::all_of(data[i].begin() + 1, data[i].end(), [](int32_t id) { return id < 0; }))
      throw invalid_argument(fmt::format("training sequence {} has nothing to predict", i));
    for (const int32_t given : data[i]) {
      const int32_t id = id_of(given);
      if (id < o.config.vocab_size) continue;
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

// What only some runs have.
std::string describe_more(const TrainOptions& o) {
  const FakeQuantization& q = o.quantization;
  std::string out = fmt::format(
      ", schedule {}, window {}, accumulate {}, recompute {}, balance {}, distill {}, begins with "
      "{}, scales "
      "{} "
      "from step {} each {} at {}",
      to_string(o.adam.schedule), o.window, o.step.accumulate, o.step.recompute,
      o.step.expert_balance, o.step.distill_share, o.origin, to_string(q.scale_dtype), q.begin,
      q.refresh, q.scale_rate);
  if (o.step.bf16) out += ", products in bf16";
  if (o.step.corrupt > 0) out += fmt::format(", corrupt {}", o.step.corrupt);
  for (const std::string& name : o.frozen) out += ", frozen " + name;
  for (const auto& [name, scheme] : q.schemes)
    out += fmt::format(", {} as {}", name, to_string(scheme));
  return out;
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
  for (const auto& [part, usual] : {std::pair(describe_rest(o.config), describe_rest({})),
                                    std::pair(describe_more(o), describe_more({}))})
    if (part != usual) out += part;
  return out;
}

const TrainOptions& checked(const TrainOptions& options, const Sequences& data) {
  validate(options.config);
  validate_options(options);
  validate_data(options, data);
  return options;
}

}  // namespace

namespace {

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
        sampler(data, o.seed, o.batch, window_of(o), o.random_windows),
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
    for (size_t i = 0; i + 2 < c.looks.size(); i += 3)
      looks.push_back({static_cast<int64_t>(c.looks[i]), c.looks[i + 1], c.looks[i + 2]});
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
  const bool better = std::all_of(s.looks.begin(), s.looks.end(),
                                  [&](const HeldoutLook& l) { return aim(look) < aim(l); });
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
  for (const HeldoutLook& l : s.looks)
    looks.insert(looks.end(), {static_cast<float>(l.step), l.loss, l.divergence});
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
