// The parameters of a model: what each is for, where it belongs, what it is stored as.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

#include "nibble/core/tensor.h"

namespace nibble {

/// What a parameter is for.
enum class Role {
  token_embedding,
  position_embedding,
  embedding_norm,
  attn_norm,
  qkv,
  q,
  k,
  v,
  q_down,  ///< of latent attention: what queries are made of, its norm, the queries of it; ...
  q_down_norm,
  q_up,
  kv_down,  ///< ... what keys and values are made of, its norm, what each head has of it
  kv_down_norm,
  kv_up,
  q_norm,
  k_norm,
  v_norm,
  sinks,  ///< of each head: a score beside those of the positions, whose value is nothing
  o,
  conv_in,
  conv,
  conv_out,
  delta_qkv,  ///< of delta layers: queries, keys and values, the gate of the output, ...
  delta_z,
  delta_b,  ///< ... how much of the state is written anew, and how fast it fades
  delta_a,
  delta_decay,       ///< ln of a rate of each head
  delta_decay_bias,  ///< what is added to delta_a
  delta_norm,        ///< of what each head gives
  delta_out,
  mamba_in,    ///< of Mamba2 layers, whose rates are delta_decay and delta_decay_bias: all of its
               ///< columns (MambaConfig), ...
  mamba_skip,  ///< ... what each head gives of x itself, ...
  mamba_norm,  ///< ... of what heads give
  mamba_out,
  post_attn_norm,
  mlp_norm,
  router,
  gate,
  gate_up,
  up,
  down,
  router_correction,
  shared_router,  ///< [1, k]: how much of the shared expert a row gets
  shared_gate,
  shared_gate_up,
  shared_up,
  shared_down,
  router_norm,      ///< of what the router reads, where that is not what experts read
  expert_scale,     ///< of each expert, what its weight is multiplied with
  experts_norm,     ///< of what experts read beside a dense MLP, ...
  post_dense_norm,  ///< ... of what that gives, and of what they give
  post_experts_norm,
  post_mlp_norm,
  layer_scale,  ///< [1]: what all of a layer's output is multiplied with
  final_norm,
  lm_head,
};

/// Which parameter of a model: everything that belongs to one is found by it.
struct ParamKey {
  Role role = Role::token_embedding;
  int layer = -1;     ///< -1: it belongs to no layer
  int expert = -1;    ///< -1: it belongs to no expert
  bool bias = false;  ///< the bias that belongs to the others rather than the weight or gain

  auto operator<=>(const ParamKey&) const = default;
  /// The bias beside this weight; the weight beside this bias.
  ParamKey with_bias(bool is_bias) const { return {role, layer, expert, is_bias}; }
};

constexpr bool decides(Role role) {
  return role == Role::router || role == Role::shared_router || role == Role::router_correction ||
         role == Role::delta_b || role == Role::delta_a;
}

/// How plain files hold the experts of a layer: one by one, or in one tensor of three dimensions
/// for down and one for gate and up (renamed_tensors.h): rows of gate before those of up, or,
/// turned, the rows in turn and each matrix the other way round.
/// `linears`: as rows, under the names of Granite (input_linear, output_linear).
enum class Stacking : uint8_t { none, rows, turned, linears };

struct ParamSpec : ParamKey {
  std::string name;  ///< as stored, "layers.0.attn.wq.weight"
  Shape shape;       ///< [n, k] for a matrix or an embedding; in memory
  /// Plain files hold it as [k, n] (GPT-2's Conv1D). In memory, and quantized on disk, it is [n, k]
  /// like every other.
  bool transposed = false;
  /// Plain files hold it less by this much (Gemma's norms: 1). In memory it is whole.
  float offset = 0;
  Stacking stacking = Stacking::none;  ///< of an expert's

  /// Whether it can be quantized: what rows are multiplied with or looked up in. What decides where
  /// rows go, or how fast a state fades, stays as it is.
  bool is_matrix() const { return shape.rank() == 2 && !decides(role); }
};

}  // namespace nibble
