// LayerPass: rows of one or several sequences on their way through the layers of a decoder. It
// interprets the layers' plans; all of it is done by one team, whose threads meet only where a step
// needs what others computed.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/core/team.h"
#include "nibble/model/expert_rows.h"
#include "nibble/model/layer.h"
#include "nibble/nn/attention.h"
#include "nibble/nn/rotary.h"
#include "nibble/nn/workspace.h"

namespace nibble {

/// Rows that stand behind each other in a pass: those of one sequence, at positions start .. start
/// + rows - 1 of its cache.
struct SequenceRows {
  KvCache* cache = nullptr;
  int64_t start = 0, rows = 0;
};

/// What a pass needs room for, at most, over the layers that it goes through.
struct PassSize {
  std::array<int64_t, kBuffers> floats{};  ///< of each buffer, for one row of the stream
  int64_t head_dim = 0, value_dim = 0, experts = 0, chosen = 0;
  int64_t ropes = 0;         ///< of the layers
  int64_t delta_floats = 0;  ///< that a thread needs for a delta layer

  void add(const LayerPlan& plan);
  /// Bytes of each buffer of a Workspace that LayerPass takes for `rows` rows, without products.
  std::array<int64_t, kBuffers + 4> bytes(int64_t rows, int threads) const;
};
/// The rotations that a pass through layers of a config turns heads by.
std::vector<Rotary> rotaries(const DecoderConfig& config);

/// Over all layers of a config.
PassSize pass_size(const DecoderConfig& config);

/// out = norm(x) of one row [width]; x and out may be the same.
void normalize(NormKind kind, double eps, const NormWeights& weights, const float* x, int64_t width,
               float* out);

class LayerPass {
 public:
  /// Everything is referred to, not copied. Buffers are taken from `workspace`; products_bytes is
  /// the most that any of the products needs.
  LayerPass(const DecoderConfig& config, std::span<const Rotary> ropes,
            std::span<const SequenceRows> sequences, int threads, const PassSize& size,
            int64_t products_bytes, Workspace& workspace);

  int64_t rows() const { return m_; }
  /// The residual stream, [rows, hidden_size]: the caller fills it in.
  float* x() const { return buffers_[0]; }
  /// [rows, hidden_size], free between layers; workspace for products outside of them.
  float* h() const { return buffers_[static_cast<size_t>(BufferId::normed)]; }
  std::byte* products() const { return products_; }

  /// Computes the angles of this thread's share of the rows. Sync before a layer runs.
  void prepare(const Team& team) const;
  /// One layer, in place in x: all threads of the team call it with the same arguments.
  void run(const Layer& layer, Team& team) const;

  // For who must stand between the steps.

  /// Steps [first, end) of a layer's plan; all buffers that they read must be there.
  void run_steps(const Layer& layer, size_t first, size_t end, Team& team) const;
  /// Finds out which rows belong to which expert, from `routing` as it is: before steps that read
  /// it are run without the one that made it. On one thread.
  void find_experts(const LayerPlan& plan) const;
  /// [rows * plan.rows, plan.width] of a buffer that is no part of another one.
  float* buffer(BufferId id) const { return buffers_[static_cast<size_t>(id)]; }

 private:
  struct View {
    float* data;
    int64_t stride;     // from row to row
    int64_t piece = 0;  // columns side by side, ...
    int64_t step = 0;   // ... and from where they begin to where the next ones do
    float* at(int64_t row, int64_t column) const {
      return data + row * stride + column / piece * step + column % piece;
    }
  };
  View view(const LayerPlan& plan, BufferId id) const;
  float* own_h(const Team& team) const;
  void run_step(const Layer& layer, const Step& step, Team& team) const;
  void norm(const Layer& layer, const Step& step, const Team& team) const;
  void project(const Layer& layer, const Step& step, Team& team) const;
  void project_experts(const Layer& layer, const Step& step, Team& team) const;
  void keys(const Layer& layer, const Step& step, const Team& team) const;
  void attend(const Layer& layer, Team& team) const;
  void prepare_rows(const Layer& layer, int64_t begin, int64_t end, int64_t kv_head) const;
  void prepare_row(const Layer& layer, const SequenceRows& s, int64_t row, int64_t position,
                   int64_t kv_head) const;
  void attend_head(const Layer& layer, int64_t kv_head, int64_t step, const Team& team) const;
  void norm_head(const Layer& layer, int index, float* x) const;
  void norm_rows(const Layer& layer, const Team& team) const;
  void convolve(const Layer& layer, const Team& team) const;
  void delta(const Layer& layer, Team& team) const;
  void delta_head(const Layer& layer, const SequenceRows& s, int64_t first, int64_t head,
                  float* scratch) const;
  void keep_delta_inputs(const Layer& layer, const SequenceRows& s, int64_t first) const;
  void mamba_convolve(const Layer& layer, const Team& team) const;
  void mamba_scan(const Layer& layer, Team& team) const;
  void mamba_head(const Layer& layer, const SequenceRows& s, int64_t first, int64_t head) const;
  void mamba_gate(const Layer& layer, const Team& team) const;
  void activate(const Layer& layer, const Step& step, const Team& team) const;
  void gate(const Layer& layer, const Step& step, const Team& team) const;
  void gate_rows(const Layer& layer, const Step& step, const Team& team) const;
  void add(const Layer& layer, const Step& step, const Team& team) const;
  void scale(const Layer& layer, const Step& step, const Team& team) const;
  void route(const Layer& layer, const Step& step, Team& team) const;
  void combine(const Layer& layer, const Step& step, const Team& team) const;

  const DecoderConfig& config_;
  const std::span<const Rotary> ropes_;
  const std::span<const SequenceRows> sequences_;
  int64_t m_ = 0, half_;
  bool own_;  // few rows: each thread computes norms of the stream for itself
  std::array<float*, kBuffers> buffers_{};
  float *cos_, *sin_, *scratch_;
  ExpertRows experts_;
  std::byte* products_;
  int64_t scratch_each_;
};

}  // namespace nibble
