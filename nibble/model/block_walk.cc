#include "nibble/model/block_walk.h"

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/model/decoder_build.h"

namespace nibble {

BlockWalk::BlockWalk(const DecoderConfig& config, WeightLoader load)
    : config_(config), load_(std::move(load)) {
  validate(config_);
  const WeightRelease keep;
  const ParameterFinder find(config_, load_, keep);
  ends_ = ModelEnds(config_, find, true);
  if (config_.position == PositionKind::rotary) rotary_ = Rotary(config_.rope, config_.head_dim);
}

std::vector<float> BlockWalk::embed(std::span<const int32_t> ids) const {
  const auto width = static_cast<size_t>(config_.hidden_size);
  std::vector<float> x(ids.size() * width);
  for (size_t r = 0; r < ids.size(); ++r) {
    const std::span<float> row = std::span(x).subspan(r * width, width);
    ends_.token(ids[r], row);
    ends_.place(config_, static_cast<int64_t>(r), row);
  }
  return x;
}

Block BlockWalk::block(int layer, const LinearOptions& options) const {
  const WeightRelease keep;
  return build_block(config_, layer, ParameterFinder(config_, load_, keep), options);
}

void BlockWalk::run(const Block& block, std::span<float> x, const Exec& exec) const {
  const auto m = static_cast<int64_t>(x.size()) / config_.hidden_size;
  NIBBLE_CHECK(m * config_.hidden_size == static_cast<int64_t>(x.size()));
  KvCache cache(1, m, {config_.heads, config_.kv_heads, config_.head_dim});
  const int threads = std::max(exec.threads, 1);
  const SequenceRows sequence{&cache, 0, m};
  cache.advance(m);
  const BlockPass pass(config_, rotary_, {&sequence, 1}, threads, block.workspace_bytes(m, threads),
                       cache.workspace(), exec);
  std::copy(x.begin(), x.end(), pass.x());
  if (exec.observer != nullptr) {
    run_team(threads, [&](Team& team) { pass.prepare(team); });
    pass.run(block, 0, nullptr);
  } else {
    run_team(threads, [&](Team& team) {
      pass.prepare(team);
      team.sync();
      pass.run(block, 0, &team);
    });
  }
  std::copy(pass.x(), pass.x() + x.size(), x.begin());
}

void BlockWalk::final_norm(std::span<float> x) const {
  for (size_t at = 0; at < x.size(); at += static_cast<size_t>(config_.hidden_size))
    ends_.final_norm(config_, x.data() + at, x.data() + at);
}

}  // namespace nibble
