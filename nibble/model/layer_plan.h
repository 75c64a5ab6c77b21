// LayerPlan: a layer of a decoder described by data. A layer is a mixer (it moves information
// between positions) and a feed-forward, each a straight list of steps over named buffers. It is
// the only place that knows how a layer is put together: the parameter table, building, inference,
// calibration, gradients, folding, rotation and estimates are derived from it.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "nibble/model/config.h"
#include "nibble/nn/attention.h"
#include "nibble/nn/linear.h"

namespace nibble {

/// What a layer holds of each row while it runs. `stream` is the residual stream, which goes in and
/// comes out; all others live inside one layer.
enum class BufferId : uint8_t {
  stream,
  normed,
  qkv,
  q,
  k,
  v,
  mixed,
  q_down,      ///< of latent attention: what queries are made of, ...
  q_latent,    ///< ... normed; ...
  kv_down,     ///< ... what keys and values are made of, and what the keys of all heads share, ...
  kv_part,     ///< ... the first of the two, ...
  kv_latent,   ///< ... normed; ...
  key_shared,  ///< ... the second; ...
  kv,          ///< ... head by head what is its own of its key, and its value; ...
  key_own,     ///< ... the first of the two
  routing,     ///< the router's logits, then the experts chosen and their weights (ExpertRows)
  gathered,    ///< what the experts read: a row for each (row, expert of it), expert by expert
  gate,
  up,
  out,
  gate_up,       ///< gate and up of one matrix
  heads_gate,    ///< what the heads' output is gated with
  delta_z,       ///< of a delta layer: what its output is gated with, ...
  delta_b,       ///< ... how much is written anew, ...
  delta_a,       ///< ... how fast the state fades
  experts_gate,  ///< of experts, a row for each (row, expert of it)
  experts_up,
  experts_out,
  shared_out,   ///< of the expert that every row goes to, or of the dense MLP beside experts
  router_in,    ///< what the router reads, where that is not what experts read
  v_made,       ///< values before their norm
  mamba_in,     ///< of Mamba2: all that it reads, ...
  mamba_z,      ///< ... its parts: the gate, ...
  mamba_xbc,    ///< ... what is convolved, ...
  mamba_dt,     ///< ... time steps; ...
  mamba_conv,   ///< ... what the convolution gives, ...
  mamba_mixed,  ///< ... and what heads read of their states
  mixer_out,    ///< where both halves join the stream together
};
inline constexpr size_t kBuffers = 38;

/// A buffer's columns, or those of another one that it is a part of (q, k and v of a fused matrix):
/// column i is column first + i / piece * step + i % piece of `within`.
struct BufferPlan {
  int64_t width = 0;  ///< 0: the layer has no such buffer
  int64_t rows = 1;   ///< that it has for each row of the stream
  std::optional<BufferId> within;
  int64_t first = 0, piece = 0, step = 0;

  /// One piece: columns side by side.
  bool is_whole() const { return !within || piece == width; }
  bool operator==(const BufferPlan&) const = default;
};

enum class Op : uint8_t {
  norm,      ///< out = norm(in), or out += norm(in), of whole rows or of each head
  project,   ///< each member of a site: its buffer = end(in W^T + b), or out += in W^T + b
  keys,      ///< out = head by head its columns of in, and key_shared behind them
  attend,    ///< mixed = what the heads make of q, k, v and what the cache holds
  convolve,  ///< mixed = C * conv(B * x) of B, C, x side by side, causal, each channel by itself
  delta,     ///< mixed = what the heads of a delta layer read of their states
  mamba_convolve,  ///< out = silu(conv(in)), causal, each channel by itself
  mamba_scan,      ///< out = what heads read of their states, from mamba_conv and mamba_dt
  mamba_gate,      ///< out *= silu(mamba_z), normed before or behind
  /// out = end(scale * gate, up): of the halves of gate_up; where `in` is gate, up stands in out
  activate,
  gate,       ///< out *= sigmoid(in), column by column
  gate_rows,  ///< out *= sigmoid(w . in), a number for each row
  scale,      ///< out *= the layer's number
  add,        ///< out = scale * in, or out += scale * in
  route,      ///< routing = the experts of each row and their weights; gathered = rows by expert
  combine,    ///< out += the weighted sum of what a row's experts gave (`in`)
};

/// A matrix that a site multiplies with.
struct SiteMember {
  Role role;
  int64_t outputs;
  bool bias;
  BufferId out;
  bool operator==(const SiteMember&) const = default;
};

/// The projections that read one input: what calibration, rescaling and rounding work on.
struct Site {
  std::string_view title;  ///< for people: "attention", "attention out", "mlp", "mlp out"
  std::vector<SiteMember> members;
  BufferId in;
  int64_t inputs;
  /// One set of members for each expert, each on the rows that were routed to it.
  bool experts = false;
  bool operator==(const Site&) const = default;
};

struct NormPlan {
  Role role;
  NormKind kind;
  double eps;
  int64_t width;
  bool gain, bias;
  bool operator==(const NormPlan&) const = default;
};

struct Step {
  Op op;
  BufferId in, out;
  int index = -1;  ///< norm: into norms; project: into sites
  LinearEnd end = LinearEnd::none;
  bool adds = false;  ///< out += rather than out =
  float scale = 1;    ///< of Op::add and Op::activate
  bool operator==(const Step&) const = default;
};

struct AttentionPlan {
  AttentionRule rule;
  int rope = -1;                 ///< queries and keys are turned by this one of ropes(); -1: not
  int q_norm = -1, k_norm = -1;  ///< norms of queries and keys, into norms; -1 = none
  bool norm_rows = false;        ///< they are of all heads of a row, else of each head
  bool norm_turned = false;      ///< they come behind the rotation
  bool sinks = false;            ///< there is a Role::sinks
  double query_beta = 0;         ///< as DecoderConfig has it
  int64_t query_every = 1;

  /// What a query at a position is multiplied with.
  double query_scale(int64_t position) const {
    if (query_beta == 0) return 1;
    return 1 + query_beta * std::log(1 + std::floor(static_cast<double>(position) /
                                                    static_cast<double>(query_every)));
  }
  bool operator==(const AttentionPlan&) const = default;
};

/// Parameters: the taps of a convolution under Role::conv, and the Roles delta_*.
struct DeltaPlan {
  DeltaConfig shape;
  int norm = -1;  ///< of each head's output, into norms
  /// What is kept of a sequence: the convolution's last inputs, oldest first, and a matrix for each
  /// head, [key_dim, value_dim].
  int64_t inputs_floats() const { return (shape.taps - 1) * shape.channels(); }
  int64_t state_floats() const {
    return inputs_floats() + shape.value_heads * shape.key_dim * shape.value_dim;
  }
  /// Where a head's query, key and value stand in a row of qkv, and its gate in one of delta_z.
  int64_t q_column(int64_t key_head) const;
  int64_t k_column(int64_t key_head) const;
  int64_t v_column(int64_t value_head) const;
  int64_t z_column(int64_t value_head) const;
  int64_t b_column(int64_t value_head) const;
  int64_t a_column(int64_t value_head) const;
  bool operator==(const DeltaPlan&) const = default;
};

/// Parameters: taps and their bias under Role::conv, and the Roles delta_decay, delta_decay_bias
/// and mamba_skip of each head.
struct MambaPlan {
  MambaConfig shape;
  int norm = -1;  ///< of each group of what heads give, into norms; as wide as all of them
  /// What is kept of a sequence: the convolution's last inputs, oldest first, and a matrix for each
  /// head, [state, head_dim].
  int64_t inputs_floats() const { return (shape.taps - 1) * shape.channels(); }
  int64_t state_floats() const { return inputs_floats() + shape.width() * shape.state; }
  bool operator==(const MambaPlan&) const = default;
};

struct ConvolutionPlan {
  int64_t channels = 0, taps = 0;  ///< a row reads itself and the taps - 1 before it
  bool bias = false;
  bool operator==(const ConvolutionPlan&) const = default;
};

struct ExpertPlan {
  int64_t experts = 0, chosen = 0;  ///< of all, and for each row
  RouterConfig router;
  BufferId router_in = BufferId::normed;
  /// Columns of a row of `routing`.
  int64_t width() const { return experts + 2 * chosen; }
  bool operator==(const ExpertPlan&) const = default;
};

struct LayerPlan {
  std::vector<Step> steps;
  std::vector<Site> sites;      ///< in the order in which they run
  std::vector<NormPlan> norms;  ///< of steps and of heads
  std::array<BufferPlan, kBuffers> buffers;
  std::optional<AttentionPlan> attention;
  std::optional<ConvolutionPlan> convolution;
  std::optional<DeltaPlan> delta;
  std::optional<MambaPlan> mamba;
  std::optional<ExpertPlan> experts;
  bool gates_rows = false;  ///< there is a Role::shared_router

  const BufferPlan& buffer(BufferId id) const { return buffers[static_cast<size_t>(id)]; }
  const Site& site(const Step& step) const { return sites[static_cast<size_t>(step.index)]; }
  /// Sets of members that a site has: its experts, or one.
  int64_t copies(const Site& site) const { return site.experts ? experts->experts : 1; }
  bool operator==(const LayerPlan&) const = default;
};

/// The plan of one layer of a valid config.
LayerPlan layer_plan(const DecoderConfig& config, int layer);

/// What stands behind the last layer, as a plan: lm_head reads `normed`.
LayerPlan head_plan(const DecoderConfig& config);

/// The matrix whose outputs a buffer is, or is a part of.
Role role_of(const LayerPlan& plan, BufferId id);
/// The step that multiplies with sites[site].
size_t step_of(const LayerPlan& plan, size_t site);
/// What the steps from `step` on read and do not make themselves, the stream left out.
std::vector<BufferId> live_before(const LayerPlan& plan, size_t step);

/// The weights of a site's members (of one expert, or -1), as the parameter table has them.
std::vector<ParamSpec> weights_of(const std::vector<ParamSpec>& table, const Site& site, int layer,
                                  int expert);

/// Its parameters, in the order of the steps: without names.
struct PlannedParameter {
  ParamKey key;
  Shape shape;
};
std::vector<PlannedParameter> parameters_of(const LayerPlan& plan, int layer);

}  // namespace nibble
