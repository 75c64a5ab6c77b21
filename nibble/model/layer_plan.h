// LayerPlan: a layer of a decoder described by data. A layer is a mixer (it moves information
// between positions) and a feed-forward, each a straight list of steps over named buffers. It is
// the only place that knows how a layer is put together: the parameter table, building, inference,
// calibration, gradients, folding, rotation and estimates are derived from it.
#pragma once

#include <array>
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
  routing,   ///< the router's logits, then the experts chosen and their weights (ExpertRows)
  gathered,  ///< what the experts read: a row for each (row, expert of it), expert by expert
  gate,
  up,
  out
};
inline constexpr size_t kBuffers = 12;

/// A buffer's columns, or those of another one that it is a part of (q, k and v of a fused matrix).
struct BufferPlan {
  int64_t width = 0;  ///< 0: the layer has no such buffer
  int64_t rows = 1;   ///< that it has for each row of the stream
  std::optional<BufferId> within;
  int64_t first = 0;  ///< its first column in `within`
};

enum class Op : uint8_t {
  norm,      ///< out = norm(in), or out += norm(in)
  project,   ///< each member of a site: its buffer = end(in W^T + b), or out += in W^T + b
  attend,    ///< mixed = what the heads make of q, k, v and what the cache holds
  convolve,  ///< mixed = C * conv(B * x) of B, C, x side by side, causal, each channel by itself
  route,     ///< routing = the experts of each row and their weights; gathered = rows by expert
  combine,   ///< out += the weighted sum of what a row's experts gave (`in`)
};

/// A matrix that a site multiplies with.
struct SiteMember {
  Role role;
  int64_t outputs;
  bool bias;
  BufferId out;
};

/// The projections that read one input: what calibration, rescaling and rounding work on.
struct Site {
  std::string_view title;  ///< for people: "attention", "attention out", "mlp", "mlp out"
  std::vector<SiteMember> members;
  BufferId in;
  int64_t inputs;
  /// One set of members for each expert, each on the rows that were routed to it.
  bool experts = false;
};

struct NormPlan {
  Role role;
  NormKind kind;
  int64_t width;
  bool gain, bias;
};

struct Step {
  Op op;
  BufferId in, out;
  int index = -1;  ///< norm: into norms; project: into sites
  LinearEnd end = LinearEnd::none;
  bool adds = false;  ///< out += rather than out =
};

struct AttentionPlan {
  AttentionRule rule;
  bool rotary = false;           ///< queries and keys are turned, behind their norms
  int q_norm = -1, k_norm = -1;  ///< norms of every head's query and key, into norms; -1 = none
};

struct ConvolutionPlan {
  int64_t channels = 0, taps = 0;  ///< a row reads itself and the taps - 1 before it
  bool bias = false;
};

struct ExpertPlan {
  int64_t experts = 0, chosen = 0;  ///< of all, and for each row
  /// Columns of a row of `routing`.
  int64_t width() const { return experts + 2 * chosen; }
};

struct LayerPlan {
  std::vector<Step> steps;
  std::vector<Site> sites;      ///< in the order in which they run
  std::vector<NormPlan> norms;  ///< of steps and of heads
  std::array<BufferPlan, kBuffers> buffers;
  std::optional<AttentionPlan> attention;
  std::optional<ConvolutionPlan> convolution;
  std::optional<ExpertPlan> experts;

  const BufferPlan& buffer(BufferId id) const { return buffers[static_cast<size_t>(id)]; }
  const Site& site(const Step& step) const { return sites[static_cast<size_t>(step.index)]; }
  /// Sets of members that a site has: its experts, or one.
  int64_t copies(const Site& site) const { return site.experts ? experts->experts : 1; }
};

/// The plan of one layer of a valid config.
LayerPlan layer_plan(const DecoderConfig& config, int layer);

/// What stands behind the last layer, as a plan: lm_head reads `normed`.
LayerPlan head_plan(const DecoderConfig& config);

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
