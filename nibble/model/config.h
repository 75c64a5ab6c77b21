// DecoderConfig: a transformer decoder described by data, and the table of its parameters.
//
// Training, inference, quantization and the writers all read this one table. An architecture (gpt2,
// llama, ...) only fills the config in and names the tensors; see architecture.h.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/tensor.h"
#include "nibble/nn/rotary.h"

namespace nibble {

enum class NormKind { rms, layer };
enum class PositionKind { learned, rotary };
enum class MlpKind { relu, gelu_tanh, gelu, silu_gated };

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
  bool embedding_norm = false;  ///< a norm right after the embeddings (microGPT)
  bool final_norm = false;      ///< a norm before lm_head

  PositionKind position = PositionKind::learned;
  int64_t position_offset = 0;  ///< rows of the position table before position 0 (OPT: 2)
  RopeConfig rope;
  int64_t sliding_window = 0;      ///< positions a token sees, itself included; 0 = all
  int64_t first_window_layer = 0;  ///< layers before this one see all positions
  bool qk_norm = false;            ///< RMSNorm of every head's query and key before the rotation
  bool fused_qkv = false;          ///< q, k and v are one matrix, in this order of rows

  MlpKind mlp = MlpKind::relu;
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  bool tied = false;  ///< lm_head is the token embedding

  /// What the stored names of all tensors but lm_head begin with: "model.", or nothing where the
  /// file was saved without the head ("transformer.h.0..." and "h.0..." are both GPT-2).
  std::string name_prefix;

  bool operator==(const DecoderConfig&) const = default;
};

/// What a parameter is for. A layer of -1 in ParamSpec means it belongs to no block.
enum class Role {
  token_embedding,
  position_embedding,
  embedding_norm,
  attn_norm,
  qkv,
  q,
  k,
  v,
  q_norm,
  k_norm,
  o,
  mlp_norm,
  gate,
  up,
  down,
  final_norm,
  lm_head,
};

struct ParamSpec {
  Role role;
  int layer = -1;
  bool bias = false;  ///< the bias that belongs to (role, layer) rather than its weight or gain
  std::string name;   ///< as stored, "layers.0.attn.wq.weight"
  Shape shape;        ///< [n, k] for a matrix or an embedding, [n] otherwise
  /// Plain files hold it as [k, n] (GPT-2's Conv1D). In memory, and quantized on disk, it is [n, k]
  /// like every other.
  bool transposed = false;
  bool is_matrix() const { return shape.rank() == 2; }
};

/// Every parameter of the model, in the order in which microgpt.py draws them: token embedding,
/// position embedding, lm_head, then block by block q, k, v (or qkv), o, (gate,) up, down with
/// their norms and biases behind.
std::vector<ParamSpec> parameter_table(const DecoderConfig& config);

/// The number of scalars in the table.
int64_t parameter_count(const DecoderConfig& config);

/// Throws Error{corrupt} naming the key whose value no decoder can have: a size below 1 or absurd,
/// heads that do not divide, an eps or a rope_theta that is not positive and finite.
void validate(const DecoderConfig& config);

}  // namespace nibble
