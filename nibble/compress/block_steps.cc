#include "nibble/compress/block_steps.h"

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/model/block_pass.h"

namespace nibble {

std::vector<Role> roles_of(const DecoderConfig& config, Stage stage) {
  switch (stage) {
    case Stage::qkv:
      return config.fused_qkv ? std::vector{Role::qkv} : std::vector{Role::q, Role::k, Role::v};
    case Stage::o:
      return {Role::o};
    case Stage::up:
      return config.mlp == MlpKind::silu_gated ? std::vector{Role::gate, Role::up}
                                               : std::vector{Role::up};
    case Stage::down:
      return {Role::down};
  }
  NIBBLE_CHECK(false && "a stage without a row");
  return {};
}

LinearGroup& group_of(Block& block, Stage stage) {
  LinearGroup* const groups[] = {&block.qkv, &block.o, &block.up, &block.down};
  return *groups[static_cast<size_t>(stage)];
}

BlockSteps::BlockSteps(const DecoderConfig& config) : config_(config) {
  if (config.position == PositionKind::rotary) rotary_ = Rotary(config.rope, config.head_dim);
}

std::unique_ptr<KvCache> BlockSteps::take_cache(int64_t rows) const {
  std::unique_ptr<KvCache> cache;
  {
    const std::lock_guard lock(idle_mutex_);
    if (!idle_.empty()) {
      cache = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  // One that is too short gives way to a longer one, so that there are never more than threads.
  if (cache != nullptr && cache->capacity() >= rows) {
    cache->clear();
    return cache;
  }
  return std::make_unique<KvCache>(
      1, rows, AttentionShape{config_.heads, config_.kv_heads, config_.head_dim});
}

template <class F>
void BlockSteps::pass(const Block& block, int64_t rows, F f) const {
  std::unique_ptr<KvCache> cache = take_cache(rows);
  const SequenceRows sequence{cache.get(), 0, rows};
  cache->advance(rows);
  const Exec exec;
  const BlockPass pass(config_, rotary_, {&sequence, 1}, 1, block.workspace_bytes(rows, 1),
                       cache->workspace(), exec);
  run_team(1, [&](Team& team) { f(pass, team); });
  const std::lock_guard lock(idle_mutex_);
  idle_.push_back(std::move(cache));
}

std::vector<float> BlockSteps::input(const Block& block, Stage stage, std::span<const float> x,
                                     std::span<const float> before) const {
  const int64_t rows = static_cast<int64_t>(x.size()) / config_.hidden_size;
  std::vector<float> out;
  const auto take = [&](const float* from, int64_t width) {
    out.assign(from, from + rows * width);
  };
  pass(block, rows, [&](const BlockPass& p, Team& team) {
    std::copy(x.begin(), x.end(), p.x());
    if (stage == Stage::o || stage == Stage::down) std::copy(before.begin(), before.end(), p.h());
    switch (stage) {
      case Stage::qkv:
        p.norm_attention(block, team);
        return take(p.h(), config_.hidden_size);
      case Stage::o:
        p.prepare(team);
        p.project(block, team);
        p.attend(block, 0, team);
        return take(p.mixed(), config_.heads * config_.head_dim);
      case Stage::up:
        p.norm_mlp(block, team);
        return take(p.h(), config_.hidden_size);
      case Stage::down:
        p.widen(block, team);
        return take(p.up(), config_.intermediate_size);
    }
  });
  return out;
}

void BlockSteps::add_output(const Block& block, Stage stage, std::span<const float> input,
                            std::vector<float>& x) const {
  pass(block, static_cast<int64_t>(x.size()) / config_.hidden_size,
       [&](const BlockPass& p, Team& team) {
         std::copy(x.begin(), x.end(), p.x());
         std::copy(input.begin(), input.end(), stage == Stage::o ? p.mixed() : p.up());
         stage == Stage::o ? p.add_attention(block, team) : p.add_mlp(block, team);
         std::copy(p.x(), p.x() + x.size(), x.begin());
       });
}

}  // namespace nibble
