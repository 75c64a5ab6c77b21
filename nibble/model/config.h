// DecoderConfig: a transformer decoder described by data, and the table of its parameters.
//
// Training, inference, quantization and the writers all read this one table. An architecture (gpt2,
// llama, ...) only fills the config in and names the tensors; see architecture.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/model/parameter.h"
#include "nibble/nn/rotary.h"

namespace nibble {

enum class NormKind { rms, layer };
enum class PositionKind { learned, rotary, none };
enum class MlpKind {
  relu,
  gelu_tanh,
  gelu,
  silu_gated,
  gelu_tanh_gated,
  clamped_gated,
  relu_squared
};
/// What mixes positions in a layer: attention over all of them or a window, a short convolution, or
/// a gated delta rule (DeltaConfig), Mamba2 (MambaConfig), Mamba2 and attention side by side, or
/// nothing (a layer that is a feed-forward alone).
enum class LayerKind : uint8_t { full, window, convolution, delta, mamba, mamba_beside, none };

/// RMSNorm of queries and keys: of every head before the rotation or behind it, or of all of a
/// row's heads together, before it.
enum class QkNorm : uint8_t { none, heads, turned_heads, rows };

/// How the two halves of a layer read the residual stream: the MLP what attention left, or both
/// what came in, through one norm or each through its own.
enum class Halves : uint8_t { in_turn, one_norm, own_norms };

/// How a row's experts are chosen, and with what weight each comes back.
struct RouterConfig {
  bool sigmoid = false;     ///< an expert's score is the sigmoid of its logit, not softmax over all
  bool bias = false;        ///< of the logits
  bool correction = false;  ///< a number for each expert is added to its score when one is chosen
  bool correction_row = false;  ///< they are stored as [1, experts]
  bool normalize = true;        ///< weights are scores by their sum, else the scores themselves
  double floor = 0;             ///< added to that sum
  double scale = 1;             ///< of all weights
  /// The router reads the stream through a norm of its own; its logits are multiplied with
  /// `logit_scale`, and weights with a number for each expert.
  bool own_norm = false, expert_scale = false;
  double logit_scale = 1;
  /// Experts lie in so many groups, of which the best ones take part; 1: all do.
  int64_t groups = 1, groups_chosen = 1;
  bool best_two = false;  ///< a group's score is the sum of its best two, else its best one

  bool operator==(const RouterConfig&) const = default;
};

/// Layers that keep a matrix for each head and change it by a gated delta rule (Yang et al. 2024,
/// Gated DeltaNet), behind a short convolution of queries, keys and values.
struct DeltaConfig {
  int64_t key_heads = 0, value_heads = 0;  ///< value_heads is a multiple
  int64_t key_dim = 0, value_dim = 0;      ///< of each head
  int64_t taps = 0;                        ///< of the convolution
  /// Two projections, whose rows stand key head by key head (Qwen3-Next), rather than four.
  bool by_head = false;

  int64_t shared() const { return value_heads / key_heads; }
  int64_t keys() const { return key_heads * key_dim; }
  int64_t values() const { return value_heads * value_dim; }
  int64_t channels() const { return 2 * keys() + values(); }

  bool operator==(const DeltaConfig&) const = default;
};

/// Where the norm of what a Mamba2 layer's heads give stands: nowhere, or before or behind the
/// gate.
enum class GateNorm : uint8_t { none, before, behind };

/// Mamba2 (Dao and Gu 2024): heads whose states fade at a rate that each token chooses, behind a
/// short convolution of what they read (x, B and C; B and C are shared by the heads of a group).
struct MambaConfig {
  int64_t heads = 0, head_dim = 0, groups = 0;  ///< groups divide heads
  int64_t state = 0;                            ///< numbers of each of a head's elements
  int64_t taps = 0;                             ///< of the convolution
  bool conv_bias = false, in_bias = false, out_bias = false;
  GateNorm norm = GateNorm::behind;             ///< of each group
  double step_least = 0, step_most = 0;         ///< bounds of a token's time step; most 0: none
  std::array<double, 5> scales{1, 1, 1, 1, 1};  ///< of z, x, B, C and the time step
  double out_scale = 1;                         ///< of what the layer gives

  int64_t width() const { return heads * head_dim; }
  int64_t channels() const { return width() + 2 * groups * state; }
  /// Columns of the first projection: z, x, B, C, time steps.
  int64_t columns() const { return width() + channels() + heads; }
  /// The scale of a channel of the convolution.
  double channel_scale(int64_t c) const {
    return scales[c < width() ? 1 : c < width() + groups * state ? 2 : 3];
  }

  bool operator==(const MambaConfig&) const = default;
};

/// Attention whose keys and values are made of a few numbers a token (multi-head latent attention,
/// DeepSeek-AI 2024): a head's key is `own_dim` elements of its own and behind them `shared_dim`
/// that all heads share, which alone are rotary; DecoderConfig::head_dim is the sum of both.
struct LatentConfig {
  int64_t kv_rank = 0;  ///< numbers that keys and values are made of; 0: attention is not latent
  int64_t q_rank = 0;   ///< of queries; 0: they are made of the stream
  int64_t own_dim = 0, shared_dim = 0;
  int64_t value_dim = 0;  ///< of a head's value
  /// Of the norms of those numbers, whatever that of other norms is.
  static constexpr double kNormEps = 1e-6;

  bool operator==(const LatentConfig&) const = default;
};

/// Heads of keys and values, and the width of a head.
struct HeadsConfig {
  int64_t kv_heads = 0, head_dim = 0;
  bool operator==(const HeadsConfig&) const = default;
};

inline bool is_gated(MlpKind mlp) {
  return mlp >= MlpKind::silu_gated && mlp != MlpKind::relu_squared;
}

inline constexpr int64_t kMostLayers = 10'000, kMostExpertGroups = 64;

struct DecoderConfig {
  std::string architecture = "micro_gpt";  ///< `model_type` in config.json
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;  ///< width of the residual stream
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_dim = 0;
  int64_t intermediate_size = 0;  ///< width inside the MLP
  int64_t context = 0;            ///< longest sequence, in tokens

  NormKind norm = NormKind::rms;
  bool norm_gain = false;
  bool norm_bias = false;
  double norm_eps = 1e-5;
  float norm_offset = 0;        ///< files hold gains less by this much (Gemma: 1)
  bool embedding_norm = false;  ///< a norm right after the embeddings (microGPT)
  bool final_norm = false;      ///< a norm before lm_head
  bool pre_norms = true;        ///< a norm of what each half of a layer reads
  bool post_norms = false;      ///< a norm of what each half of a layer adds to the stream
  Halves halves = Halves::in_turn;
  double residual_scale = 1;  ///< of what each half of a layer adds to the stream

  bool layer_scale = false;  ///< a number of each layer multiplies all of its output

  PositionKind position = PositionKind::learned;
  int64_t position_offset = 0;  ///< rows of the position table before position 0 (OPT: 2)
  RopeConfig rope;
  std::optional<RopeConfig> window_rope;  ///< of window layers, where theirs is another one
  std::vector<uint8_t> turned;            ///< of each layer: whether it is rotary; empty: all are
  /// A query at position p is multiplied with 1 + beta ln(1 + p / every); beta 0: with nothing.
  double query_beta = 0;
  int64_t query_every = 1;
  std::vector<LayerKind> layer_kinds;  ///< of each layer; empty: all are LayerKind::full
  int64_t sliding_window = 0;          ///< positions a token sees in window layers, itself included
  QkNorm qk_norm = QkNorm::none;
  bool v_norm = false;  ///< of each head's value, without a gain
  /// Of layers that see all positions, where those of window layers are others; then there is a
  /// window_rope, too.
  std::optional<HeadsConfig> full_heads;
  bool values_are_keys = false;  ///< of such layers: as the keys are before norm and rotation
  bool fused_qkv = false;        ///< q, k and v are one matrix, in this order of rows
  bool qkv_by_head = false;  ///< of a fused matrix: the rows of a head's q, k and v stand together
  /// What the heads give is multiplied with the sigmoid of as many outputs more of q, which stand
  /// behind each head's query.
  bool attention_gate = false;
  bool attention_sinks =
      false;  ///< a number for each head takes part in softmax, and gives nothing

  MlpKind mlp = MlpKind::relu;
  bool fused_gate_up = false;  ///< gate and up are one matrix, in this order of rows
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  int64_t experts = 0, experts_per_token = 0;  ///< 0: the MLP is dense
  std::vector<uint8_t> sparse;  ///< of each layer: whether it has experts; empty: all have
  int64_t expert_size = 0;      ///< width inside an expert; 0: intermediate_size
  int64_t shared_size = 0;      ///< of an expert that every row goes to as well; 0: there is none
  bool dense_beside = false;  ///< layers with experts have the dense MLP as well, norms around both
  bool shared_gate = false;   ///< whose output is multiplied with a sigmoid for each row
  RouterConfig router;
  DeltaConfig delta;           ///< of delta layers
  LatentConfig latent;         ///< of layers with attention
  MambaConfig mamba;           ///< of Mamba2 layers
  std::vector<uint8_t> feeds;  ///< of each layer: whether it has a feed-forward; empty: all have
  double attention_out_scale = 1;         ///< of what attention beside Mamba2 gives
  double gate_scale = 1, down_scale = 1;  ///< of the dense MLP's gate and of what it gives
  int64_t conv_taps = 0;                  ///< of convolution layers
  bool conv_bias = false;                 ///< of their projections, too

  double attention_scale = 0;    ///< what q.k is multiplied with; 0: 1 / sqrt(head_dim)
  double attention_softcap = 0;  ///< scores become cap tanh(score / cap); 0: they stay
  double final_softcap = 0;      ///< the same of logits
  double logit_scale = 1;        ///< what logits are multiplied with, before that
  double embedding_scale = 1;    ///< what a token's embedding is multiplied with
  bool tied = false;             ///< lm_head is the token embedding

  /// What the stored names of all tensors but lm_head begin with: "model.", or nothing where the
  /// file was saved without the head ("transformer.h.0..." and "h.0..." are both GPT-2).
  std::string name_prefix;

  bool operator==(const DecoderConfig&) const = default;
};

/// Every parameter of the model, in the order in which microgpt.py draws them: token embedding,
/// position embedding, lm_head, then block by block q, k, v (or qkv), o, (gate,) up, down with
/// their norms and biases behind.
std::vector<ParamSpec> parameter_table(const DecoderConfig& config);

/// The row of a key; nullptr where there is none.
const ParamSpec* find_parameter(const std::vector<ParamSpec>& table, const ParamKey& key);

LayerKind layer_kind(const DecoderConfig& config, int layer);
bool has_experts(const DecoderConfig& config, int layer);
bool has_feed(const DecoderConfig& config, int layer);
/// Those of a layer that attends.
HeadsConfig heads_of(const DecoderConfig& config, int layer);
/// The width of the heads that ropes()[index] turns.
int64_t head_dim_of_rope(const DecoderConfig& config, int index);
/// The width inside an expert.
int64_t expert_size(const DecoderConfig& config);
/// Those of a config, and which of them a layer turns its heads by; -1: none.
std::vector<RopeConfig> ropes(const DecoderConfig& config);
int rope_of(const DecoderConfig& config, int layer);
/// DecoderConfig::attention_scale, or what it stands for.
float attention_scale(const DecoderConfig& config);

/// The number of scalars in the table.
int64_t parameter_count(const DecoderConfig& config);

/// Throws Error{corrupt} naming the key whose value no decoder can have: a size below 1 or absurd,
/// heads that do not divide, an eps or a rope_theta that is not positive and finite.
void validate(const DecoderConfig& config);

}  // namespace nibble
