#include "nibble/model/model_ends.h"

#include <algorithm>

#include "nibble/kernels/layer.h"
#include "nibble/model/parameter_finder.h"

namespace nibble {

ModelEnds::ModelEnds(const DecoderConfig& config, const ParameterFinder& find, bool token_table) {
  const auto norm = [&](Role role) {
    return NormWeights{find.vector({role}), find.vector({role, -1, -1, true})};
  };
  if (token_table) tokens_ = Embedding(find.table(Role::token_embedding));
  if (config.position == PositionKind::learned)
    positions_ = Embedding(find.table(Role::position_embedding));
  embedding_norm_ = norm(Role::embedding_norm);
  final_norm_ = norm(Role::final_norm);
}

void ModelEnds::place(const DecoderConfig& config, int64_t position, std::span<float> x) const {
  if (config.embedding_scale != 1) {
    const auto by = static_cast<float>(config.embedding_scale);
    for (float& v : x) v *= by;
  }
  if (config.position == PositionKind::learned)
    positions_.add(config.position_offset + position, x);
  if (config.embedding_norm)
    normalize(config.norm, config.norm_eps, embedding_norm_, x.data(), config.hidden_size,
              x.data());
}

void ModelEnds::final_norm(const DecoderConfig& config, const float* x, float* y) const {
  if (config.final_norm)
    normalize(config.norm, config.norm_eps, final_norm_, x, config.hidden_size, y);
  else if (x != y)
    std::copy(x, x + config.hidden_size, y);
}

bool bends_logits(const DecoderConfig& config) {
  return config.final_softcap != 0 || config.logit_scale != 1;
}

void cap_logits(const DecoderConfig& config, std::span<float> logits) {
  const auto scale = static_cast<float>(config.logit_scale);
  for (float& x : logits) x = scale == 1 ? x : x * scale;
  if (config.final_softcap == 0) return;
  best_layer_ops().soft_cap(static_cast<float>(config.final_softcap), std::ssize(logits),
                            logits.data());
}

size_t ModelEnds::memory_bytes() const {
  return tokens_.memory_bytes() + positions_.memory_bytes() +
         (embedding_norm_.gain.size() + embedding_norm_.bias.size() + final_norm_.gain.size() +
          final_norm_.bias.size()) *
             sizeof(float);
}

}  // namespace nibble
