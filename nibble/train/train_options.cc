#include "nibble/train/train_options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/train/adam_schedule.h"
#include "nibble/train/batch.h"

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

std::string describe_rope(const RopeConfig& r) {
  return fmt::format(" {} {} {} {} {} {} {}", r.theta, static_cast<int>(r.scaling), r.factor,
                     r.part, r.neighbours, r.alpha, fmt::join(r.short_factors, " "));
}

// Of decoders that were not always there: nothing for those that were.
std::string describe_newer(const DecoderConfig& c) {
  const DecoderConfig none;
  std::string out;
  if (c.rope.part != 1 || c.rope.neighbours || c.rope.alpha > 0 || !c.rope.short_factors.empty())
    out += ", rope" + describe_rope(c.rope);
  if (c.window_rope) out += ", window rope" + describe_rope(*c.window_rope);
  if (c.query_beta > 0) out += fmt::format(", queries {} {}", c.query_beta, c.query_every);
  if (c.halves != none.halves || !c.pre_norms || c.qk_norm > QkNorm::heads)
    out += fmt::format(", halves {}, norms {} {}", static_cast<int>(c.halves), c.pre_norms,
                       static_cast<int>(c.qk_norm));
  if (c.residual_scale != 1 || c.logit_scale != 1)
    out += fmt::format(", residual {}, logits {}", c.residual_scale, c.logit_scale);
  if (!c.turned.empty()) out += fmt::format(", turned {}", fmt::join(c.turned, " "));
  if (!c.sparse.empty()) out += fmt::format(", sparse {}", fmt::join(c.sparse, " "));
  if (c.expert_size > 0 || c.shared_size > 0 || c.router != none.router)
    out += fmt::format(", experts {} {} {}, router {} {} {} {} {} {} {} {} {}", c.expert_size,
                       c.shared_size, c.shared_gate, c.router.sigmoid, c.router.bias,
                       c.router.correction, c.router.normalize, c.router.floor, c.router.scale,
                       c.router.groups, c.router.groups_chosen, c.router.best_two);
  if (c.delta != none.delta)
    out += fmt::format(", delta {} {} {} {} {} {}", c.delta.key_heads, c.delta.value_heads,
                       c.delta.key_dim, c.delta.value_dim, c.delta.taps, c.delta.by_head);
  if (c.mamba != none.mamba) {
    const MambaConfig& m = c.mamba;
    out +=
        fmt::format(", mamba {} {} {} {} {} {} {} {} {} {} {} {} {}, scales {} {} {}", m.heads,
                    m.head_dim, m.groups, m.state, m.taps, m.conv_bias, m.in_bias, m.out_bias,
                    static_cast<int>(m.norm), m.step_least, m.step_most, fmt::join(m.scales, " "),
                    m.out_scale, c.attention_out_scale, c.gate_scale, c.down_scale);
  }
  return out;
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

}  // namespace

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
                                    std::pair(describe_newer(o.config), std::string()),
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

}  // namespace nibble
