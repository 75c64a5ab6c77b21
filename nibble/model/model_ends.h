// ModelEnds: what stands before a model's first block (embeddings and their norm) and behind its
// last (the final norm). The head is the Decoder's own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "nibble/model/config.h"
#include "nibble/model/layer_pass.h"
#include "nibble/nn/embedding.h"

namespace nibble {

class ModelEnds {
 public:
  ModelEnds() = default;
  /// Loads them through `find`. `token_table`: whether the token table as well; a Decoder whose
  /// head is tied looks rows up in the head.
  ModelEnds(const DecoderConfig& config, const ParameterFinder& find, bool token_table);

  /// x [hidden_size] = row `id` of the token table.
  void token(int32_t id, std::span<float> x) const { tokens_.lookup(id, x); }
  /// Makes of a token's embedding what the first block reads at `position`, in place.
  void place(const DecoderConfig& config, int64_t position, std::span<float> x) const;
  /// y = final norm of x, both [hidden_size], or a copy where the model has none; x may be y.
  void final_norm(const DecoderConfig& config, const float* x, float* y) const;

  size_t memory_bytes() const;

 private:
  Embedding tokens_, positions_;
  NormWeights embedding_norm_, final_norm_;
};

/// Whether what the head gave is not the logits yet.
bool bends_logits(const DecoderConfig& config);
/// What the head gave becomes logits, in place (DecoderConfig::logit_scale, final_softcap). Each by
/// itself.
void cap_logits(const DecoderConfig& config, std::span<float> logits);

}  // namespace nibble
