// What stands before a model's layers and behind them, in f64.
#include "nibble/model/reference_layer.h"
#include "nibble/model/reference_math.h"

namespace nibble {

std::vector<double> reference_embedding(const DecoderConfig& c, const ParameterFinder& find,
                                        std::span<const int32_t> ids) {
  using namespace reference;
  const std::vector<float> tokens = find.table(Role::token_embedding).values();
  const bool learned = c.position == PositionKind::learned;
  const auto positions = learned ? find.table(Role::position_embedding).values() : tokens;
  const int64_t width = c.hidden_size;
  // As models that scale have it: in f32.
  const auto scale = static_cast<double>(static_cast<float>(c.embedding_scale));
  Rows out;
  for (int64_t r = 0; r < std::ssize(ids); ++r) {
    for (int64_t i = 0; i < width; ++i) {
      out.push_back(scale * double{tokens[at(ids[at(r)] * width + i)]});
      if (learned) out.back() += double{positions[at((c.position_offset + r) * width + i)]};
    }
    if (c.embedding_norm)
      norm_row(find, {Role::embedding_norm}, c.norm, c.norm_eps, width, out.data() + r * width);
  }
  return out;
}

std::vector<double> reference_head(const DecoderConfig& c, const ParameterFinder& find,
                                   std::vector<double> x) {
  using namespace reference;
  const Matrix head{
      (c.tied ? find.table(Role::token_embedding) : find.linear({Role::lm_head}).weight).values(),
      {},
      c.vocab_size,
      c.hidden_size};
  const int64_t rows = std::ssize(x) / c.hidden_size;
  Rows out(at(rows * c.vocab_size));
  for (int64_t r = 0; r < rows; ++r) {
    double* const row = x.data() + r * c.hidden_size;
    if (c.final_norm) norm_row(find, {Role::final_norm}, c.norm, c.norm_eps, c.hidden_size, row);
    head.add(row, out.data() + r * c.vocab_size);
  }
  for (double& v : out) v = capped(c.logit_scale * v, c.final_softcap);
  return out;
}

std::vector<double> reference_logits(const DecoderConfig& config, const WeightLoader& load,
                                     std::span<const int32_t> ids) {
  const WeightRelease keep;
  const ParameterFinder find(config, load, keep);
  std::vector<double> x = reference_embedding(config, find, ids);
  for (int layer = 0; layer < config.layers; ++layer) run_reference_layer(config, layer, find, x);
  return reference_head(config, find, std::move(x));
}

}  // namespace nibble
