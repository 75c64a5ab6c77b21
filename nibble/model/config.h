// DecoderConfig: a transformer decoder described by data, and the table of its parameters.
//
// Training, inference, quantization and the writers all read this one table. An architecture (gpt2,
// llama, ...) only fills the config in and names the tensors; see architecture.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/model/parameter.h"
#include "nibble/nn/rotary.h"

namespace nibble {

enum class NormKind { rms, layer };
enum class PositionKind { learned, rotary };
enum class MlpKind { relu, gelu_tanh, gelu, silu_gated, gelu_tanh_gated };
/// What mixes positions in a layer: attention over all of them or a window, or a short convolution.
enum class LayerKind : uint8_t { full, window, convolution };

inline bool is_gated(MlpKind mlp) { return mlp >= MlpKind::silu_gated; }

inline constexpr int64_t kMostLayers = 10'000;

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
  bool post_norms = false;      ///< a norm of what each half of a layer adds to the stream

  PositionKind position = PositionKind::learned;
  int64_t position_offset = 0;  ///< rows of the position table before position 0 (OPT: 2)
  RopeConfig rope;
  std::vector<LayerKind> layer_kinds;  ///< of each layer; empty: all are LayerKind::full
  int64_t sliding_window = 0;          ///< positions a token sees in window layers, itself included
  bool qk_norm = false;    ///< RMSNorm of every head's query and key before the rotation
  bool fused_qkv = false;  ///< q, k and v are one matrix, in this order of rows

  MlpKind mlp = MlpKind::relu;
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  int64_t experts = 0, experts_per_token = 0;  ///< 0: the MLP is dense
  int64_t conv_taps = 0;                       ///< of convolution layers
  bool conv_bias = false;                      ///< of their projections, too

  double attention_scale = 0;    ///< what q.k is multiplied with; 0: 1 / sqrt(head_dim)
  double attention_softcap = 0;  ///< scores become cap tanh(score / cap); 0: they stay
  double final_softcap = 0;      ///< the same of logits
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
/// DecoderConfig::attention_scale, or what it stands for.
float attention_scale(const DecoderConfig& config);

/// The number of scalars in the table.
int64_t parameter_count(const DecoderConfig& config);

/// Throws Error{corrupt} naming the key whose value no decoder can have: a size below 1 or absurd,
/// heads that do not divide, an eps or a rope_theta that is not positive and finite.
void validate(const DecoderConfig& config);

}  // namespace nibble
