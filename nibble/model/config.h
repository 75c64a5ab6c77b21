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
  double rope_theta = 10000.0;
  MlpKind mlp = MlpKind::relu;
  bool qkv_bias = false, o_bias = false, mlp_bias = false;
  bool tied = false;  ///< lm_head is the token embedding

  bool operator==(const DecoderConfig&) const = default;
};

/// What a parameter is for. A layer of -1 in ParamSpec means it belongs to no block.
enum class Role {
  token_embedding,
  position_embedding,
  embedding_norm,
  attn_norm,
  q,
  k,
  v,
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
  bool is_matrix() const { return shape.rank() == 2; }
};

/// Every parameter of the model, in the order in which microgpt.py draws them: token embedding,
/// position embedding, lm_head, then block by block q, k, v, o, (gate,) up, down with their norms
/// and biases behind.
std::vector<ParamSpec> parameter_table(const DecoderConfig& config);

/// The number of scalars in the table.
int64_t parameter_count(const DecoderConfig& config);

/// Throws Error{corrupt} naming the key whose value no decoder can have: a size below 1 or absurd,
/// heads that do not divide, an eps that is not positive and finite.
void validate(const DecoderConfig& config);

}  // namespace nibble
