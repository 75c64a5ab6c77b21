#include "nibble/model/model_ends.h"

#include <algorithm>

#include "nibble/model/block_pass.h"
#include "nibble/model/decoder_build.h"

namespace nibble {

ModelEnds::ModelEnds(const DecoderConfig& config, const ParameterFinder& find, bool token_table) {
  if (token_table) tokens_ = Embedding(find.table(Role::token_embedding));
  if (config.position == PositionKind::learned)
    positions_ = Embedding(find.table(Role::position_embedding));
  embedding_gain_ = find.vector(Role::embedding_norm, -1, false);
  embedding_bias_ = find.vector(Role::embedding_norm, -1, true);
  final_gain_ = find.vector(Role::final_norm, -1, false);
  final_bias_ = find.vector(Role::final_norm, -1, true);
}

void ModelEnds::place(const DecoderConfig& config, int64_t position, std::span<float> x) const {
  if (config.position == PositionKind::learned)
    positions_.add(config.position_offset + position, x);
  if (config.embedding_norm)
    normalize(config, x.data(), embedding_gain_, embedding_bias_, x.data());
}

void ModelEnds::final_norm(const DecoderConfig& config, const float* x, float* y) const {
  if (config.final_norm)
    normalize(config, x, final_gain_, final_bias_, y);
  else if (x != y)
    std::copy(x, x + config.hidden_size, y);
}

size_t ModelEnds::memory_bytes() const {
  return tokens_.memory_bytes() + positions_.memory_bytes() +
         (embedding_gain_.size() + embedding_bias_.size() + final_gain_.size() +
          final_bias_.size()) *
             sizeof(float);
}

}  // namespace nibble
