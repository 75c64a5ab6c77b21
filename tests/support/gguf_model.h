// The GGUF file of a model as llama.cpp's converter writes it, made from its weights by their
// Hugging Face names: metadata, queries and keys in pairs, experts stacked.
#pragma once

#include <cmath>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "nibble/model/model.h"
#include "tests/support/gguf_bytes.h"

namespace nibble::test {

/// What the pieces of a Hugging Face name are called in GGUF. The first that fits counts.
inline const std::vector<std::pair<std::string, std::string>>& gguf_pieces() {
  static const std::vector<std::pair<std::string, std::string>> kPieces = {
      {"embed_tokens", "token_embd"},
      {"wte", "token_embd"},
      {"wpe", "position_embd"},
      {"lm_head", "output"},
      {"ln_f", "output_norm"},
      {"model.norm", "output_norm"},
      {"input_layernorm", "attn_norm"},
      {"ln_1", "attn_norm"},
      {"q_proj", "attn_q"},
      {"k_proj", "attn_k"},
      {"v_proj", "attn_v"},
      {"o_proj", "attn_output"},
      {"q_norm", "attn_q_norm"},
      {"k_norm", "attn_k_norm"},
      {"attn.c_attn", "attn_qkv"},
      {"attn.c_proj", "attn_output"},
      {"ln_2", "ffn_norm"},
      {"pre_feedforward_layernorm", "ffn_norm"},
      {"post_feedforward_layernorm", "post_ffw_norm"},
      {"gate_proj", "ffn_gate"},
      {"up_proj", "ffn_up"},
      {"down_proj", "ffn_down"},
      {"mlp.c_fc", "ffn_up"},
      {"mlp.c_proj", "ffn_down"},
      {"block_sparse_moe.gate", "ffn_gate_inp"},
      {".w1.", "ffn_gate_exps"},
      {".w2.", "ffn_down_exps"},
      {".w3.", "ffn_up_exps"},
      {"post_attention_layernorm", "ffn_norm"}};
  return kPieces;
}

inline std::string gguf_name_of(const ParamSpec& p, const DecoderConfig& config) {
  const auto full = [&](const std::string& name) {
    return (p.layer < 0 ? "" : "blk." + std::to_string(p.layer) + ".") + name +
           (p.bias ? ".bias" : ".weight");
  };
  if (config.post_norms && p.name.find("post_attention_layernorm") != std::string::npos)
    return full("post_attention_norm");
  for (const auto& [piece, name] : gguf_pieces()) {
    if (p.name.find(piece) != std::string::npos) return full(name);
  }
  throw std::runtime_error("no name for " + p.name);
}

/// Bytes of rows in another order: halves of each head become neighbours (the converter's
/// "permute").
inline std::string rows_in_pairs(const std::string& rows, int64_t count, int64_t head_dim) {
  const size_t size = rows.size() / static_cast<size_t>(count);
  std::string out(rows.size(), '\0');
  for (int64_t r = 0; r < count; ++r) {
    const int64_t head = r / head_dim, i = r % head_dim, half = head_dim / 2;
    const int64_t to = head * head_dim + (i < half ? 2 * i : 2 * (i - half) + 1);
    out.replace(static_cast<size_t>(to) * size, size, rows, static_cast<size_t>(r) * size, size);
  }
  return out;
}

class GgufOfModel {
 public:
  /// The type and the bytes of a parameter's rows, in the order of the model's.
  using Encode = std::function<std::pair<uint32_t, std::string>(const ParamSpec& spec)>;

  GgufOfModel(const DecoderConfig& config, Encode encode) : c_(config), encode_(std::move(encode)) {
    llama_ =
        c_.architecture == "mistral" || c_.architecture == "mixtral" || c_.architecture == "llama";
    prefix_ = (llama_ ? "llama" : c_.architecture) + ".";
  }
  /// f32 in every place.
  explicit GgufOfModel(const Model& model)
      : GgufOfModel(model.decoder_config(), [&model](const ParamSpec& p) {
          return std::pair(0u, bytes_of_all(model.weights->get(p.name).values()));
        }) {}

  GgufBytes file() {
    out_.string("general.architecture", prefix_.substr(0, prefix_.size() - 1));
    out_.string("general.type", "model").string("general.name", "a model of a test");
    sizes();
    if (c_.position == PositionKind::rotary) rope();
    for (const ParamSpec& p : parameter_table(c_)) add(p);
    return std::move(out_);
  }

 private:
  void u32(const std::string& key, int64_t v) { out_.u32(prefix_ + key, static_cast<uint32_t>(v)); }
  void f32(const std::string& key, double v) { out_.f32(prefix_ + key, static_cast<float>(v)); }

  void sizes() {
    u32("context_length", c_.context);
    u32("embedding_length", c_.hidden_size);
    u32("block_count", c_.layers);
    u32("feed_forward_length", c_.intermediate_size);
    u32("attention.head_count", c_.heads);
    if (c_.norm == NormKind::layer) return f32("attention.layer_norm_epsilon", c_.norm_eps);
    u32("attention.head_count_kv", c_.kv_heads);
    f32("attention.layer_norm_rms_epsilon", c_.norm_eps);
    u32("vocab_size", c_.vocab_size);
    if (c_.head_dim * c_.heads != c_.hidden_size || c_.norm_offset != 0) {
      u32("attention.key_length", c_.head_dim);
      u32("attention.value_length", c_.head_dim);
    }
    if (c_.sliding_window > 0) u32("attention.sliding_window", c_.sliding_window);
    if (c_.attention_softcap > 0) f32("attn_logit_softcapping", c_.attention_softcap);
    if (c_.final_softcap > 0) f32("final_logit_softcapping", c_.final_softcap);
    if (c_.experts == 0) return;
    u32("expert_count", c_.experts);
    u32("expert_used_count", c_.experts_per_token);
  }

  void rope() {
    f32("rope.freq_base", c_.rope.theta);
    if (llama_) u32("rope.dimension_count", c_.head_dim);
    const RopeScaling kind = c_.rope.scaling;
    if (kind == RopeScaling::llama3) return llama3_divisors();
    if (kind == RopeScaling::none) return;
    out_.string(prefix_ + "rope.scaling.type", kind == RopeScaling::yarn ? "yarn" : "linear");
    f32("rope.scaling.factor", c_.rope.factor);
    if (kind == RopeScaling::yarn)
      u32("rope.scaling.original_context_length", c_.rope.original_context);
  }

  // The converter's formula (conversion/llama.py, generate_extra_tensors).
  void llama3_divisors() {
    const RopeConfig& r = c_.rope;
    const auto original = static_cast<double>(r.original_context);
    std::vector<float> divisors;
    for (int64_t i = 0; i < c_.head_dim; i += 2) {
      const double wave =
          2 * M_PI * std::pow(r.theta, static_cast<double>(i) / static_cast<double>(c_.head_dim));
      const double smooth =
          (original / wave - r.low_freq_factor) / (r.high_freq_factor - r.low_freq_factor);
      double divisor = 1 / ((1 - smooth) / r.factor + smooth);
      if (wave < original / r.high_freq_factor) divisor = 1;
      if (wave > original / r.low_freq_factor) divisor = r.factor;
      divisors.push_back(static_cast<float>(divisor));
    }
    out_.f32_tensor("rope_freqs.weight", {divisors.size()}, divisors);
  }

  void add(const ParamSpec& p) {
    const std::string name = gguf_name_of(p, c_);
    auto [type, rows] = encode_(p);
    if (llama_ && (p.role == Role::q || p.role == Role::k))
      rows = rows_in_pairs(rows, p.shape[0], c_.head_dim);
    std::vector<uint64_t> extents;
    for (size_t i = p.shape.rank(); i-- > 0;) extents.push_back(static_cast<uint64_t>(p.shape[i]));
    if (p.expert > 0) {
      out_.record(name).data += rows;
      return;
    }
    if (p.expert == 0) extents.push_back(static_cast<uint64_t>(c_.experts));
    out_.tensor(name, extents, type, rows);
  }

  const DecoderConfig c_;
  Encode encode_;
  bool llama_ = false;
  std::string prefix_;
  GgufBytes out_;
};

inline std::string gguf_bytes_of(const Model& model) { return GgufOfModel(model).file().bytes(); }

}  // namespace nibble::test
