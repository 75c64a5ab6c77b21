#include "nibble/nn/attention.h"

#include <algorithm>

#include "nibble/core/aligned_memory.h"
#include "nibble/core/checked.h"
#include "nibble/core/error.h"

namespace nibble {
namespace {

// Below this many multiplications a team costs more than it saves.
constexpr int64_t kParallelWork = 1 << 18;

}  // namespace

int64_t Attention::tiles() const { return ceil_div(q_.m * rule_.shape.shared(), kQueryRows); }

void Attention::run(int64_t kv_head, int64_t tile, float* scratch) const {
  const AttentionShape& shape = rule_.shape;
  const int64_t d = shape.head_dim, shared = shape.shared(), total = q_.m * shared;
  AttendRows a;
  cache_.describe(layer_, kv_head, a);
  a.scale = rule_.scale;
  a.softcap = rule_.softcap;
  a.has_sinks = rule_.sinks != nullptr;
  a.scratch = scratch;
  for (int64_t i = tile * kQueryRows; i < std::min(total, (tile + 1) * kQueryRows); ++i) {
    const int64_t r = i / shared, head = kv_head * shared + i % shared, end = q_.start + r + 1;
    a.q[a.rows] = q_.data + r * q_.stride + head * (q_.head_stride > 0 ? q_.head_stride : d);
    a.out[a.rows] = out_ + (r * shape.heads + head) * shape.values();
    if (a.has_sinks) a.sinks[a.rows] = rule_.sinks[head];
    a.begin[a.rows] = rule_.window > 0 ? std::max<int64_t>(0, end - rule_.window) : 0;
    a.end[a.rows++] = end;
  }
  best_layer_ops().attend[static_cast<size_t>(cache_.type())](a);
}

void attend(const Queries& q, const KvCache& cache, int64_t layer, const AttentionRule& rule,
            std::span<float> out, const Exec& exec) {
  const AttentionShape& shape = rule.shape;
  const int64_t d = shape.head_dim, values = shape.values(), most = q.start + q.m;
  NIBBLE_CHECK(most <= cache.capacity());
  NIBBLE_CHECK(static_cast<int64_t>(out.size()) == q.m * shape.heads * values);
  const Attention attention(q, cache, layer, rule, out.data());
  const int64_t tiles = attention.tiles(),
                floats = ceil_div(attend_scratch_floats(d, values), 16) * 16;
  const int threads = q.m * shape.heads * most * d > kParallelWork ? exec.threads : 1;
  const AlignedMemory scratch(threads * floats * int64_t{sizeof(float)});
  run_team(threads, [&](Team& team) {
    // Tiles in turn: later ones see more positions.
    for (int64_t i = team.rank(); i < tiles * shape.kv_heads; i += team.size())
      attention.run(i / tiles, i % tiles, scratch.as<float>() + team.rank() * floats);
  });
}

}  // namespace nibble
