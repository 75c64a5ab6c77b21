// Decoder: every transformer that nibble runs, built from a DecoderConfig and weights by stored
// name.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/model/config.h"
#include "nibble/nn/attention.h"
#include "nibble/nn/linear.h"
#include "nibble/nn/rotary.h"

namespace nibble {

/// Gives the weight (or gain, or bias) stored under a name of the parameter table. Called once for
/// each.
using WeightLoader = std::function<Weight(const ParamSpec&)>;
/// Hears of a parameter that its place in the model has been filled with: what it was made of can
/// be let go.
using WeightRelease = std::function<void(const ParamSpec&)>;

/// One transformer block: attention and MLP, each behind a norm and added to the residual stream.
struct Block {
  std::vector<float> attn_gain, attn_bias, mlp_gain, mlp_bias;
  std::vector<float> q_gain, k_gain;  ///< [head_dim] where queries and keys have norms
  LinearGroup qkv, o, up, down;       ///< up holds gate and up where the MLP is gated
  int64_t window = 0;                 ///< positions that a token sees, 0 = all
};

class Decoder {
 public:
  /// Throws Error{corrupt} naming the tensor whose shape is not the table's.
  Decoder(const DecoderConfig& config, const WeightLoader& load, const LinearOptions& options = {},
          const WeightRelease& release = {});

  const DecoderConfig& config() const { return config_; }
  /// An empty cache for this model; dtype f32 or f16.
  KvCache make_cache(int64_t capacity, DType dtype = DType::f32) const;

  enum class Logits { last, all };
  /// Runs ids behind what is in the cache and appends them to it. Returns logits [1 or ids.size(),
  /// vocab_size], row-major. Error{invalid_argument} for an id outside the vocabulary or more
  /// tokens than the cache or the context hold (both lengths are named).
  std::vector<float> forward(std::span<const int32_t> ids, KvCache& cache, Logits wanted,
                             const Exec& exec) const;

  /// Bytes the loaded weights hold; bytes read for each decoded token (no embedding table, the head
  /// included).
  size_t memory_bytes() const;
  size_t weight_bytes() const;
  /// Calls f(group, member) for every projection, in the order they run.
  void for_each_linear(const std::function<void(const LinearGroup&, size_t)>& f) const;

 private:
  // q, k and v of m rows, somewhere in one memory.
  struct Projected {
    std::vector<float> memory;
    float *q, *k, *v;
    int64_t q_stride, kv_stride;
  };
  void check(std::span<const int32_t> ids, const KvCache& cache) const;
  std::vector<float> embed(std::span<const int32_t> ids, int64_t start) const;
  void norm(std::span<const float> x, int64_t m, std::span<const float> gain,
            std::span<const float> bias, std::span<float> out) const;
  void attention(const Block& block, int64_t layer, std::vector<float>& x, int64_t m,
                 const RopeAngles& angles, KvCache& cache, const Exec& exec) const;
  Projected project(const Block& block, std::span<const float> h, int64_t m,
                    const Exec& exec) const;
  void norm_heads(float* x, int64_t rows, std::span<const float> gain) const;
  void mlp(const Block& block, std::vector<float>& x, int64_t m, const Exec& exec) const;

  DecoderConfig config_;
  AttentionShape attention_shape_;
  Embedding tokens_, positions_;
  Rotary rotary_;
  std::vector<float> embedding_gain_, embedding_bias_, final_gain_, final_bias_;
  std::vector<Block> blocks_;
  LinearGroup head_;
};

}  // namespace nibble
