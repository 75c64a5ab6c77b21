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

#include "nibble/core/error.h"
#include "nibble/model/config.h"
#include "nibble/model/layer_pass.h"
#include "nibble/model/model_ends.h"
#include "nibble/nn/workspace.h"

namespace nibble {

class Session;

class Decoder {
 public:
  /// Throws Error{corrupt} naming the tensor whose shape is not the table's. `load` and `release`
  /// are called by options.threads threads, each for layers of its own.
  Decoder(const DecoderConfig& config, const WeightLoader& load, const LinearOptions& options = {},
          const WeightRelease& release = {});

  const DecoderConfig& config() const { return config_; }
  const std::vector<Layer>& layers() const { return layers_; }
  /// What is done with the error where logits are not finite, or keys or values do not fit their
  /// cache, before it is thrown: `handler` may throw a better one. It may be called by several
  /// threads at once.
  void on_bad_values(std::function<void(Error)> handler) { on_bad_values_ = std::move(handler); }
  /// An empty cache for this model; dtype f32, f16, or i8 for int8 with a scale for each head and
  /// token.
  KvCache make_cache(int64_t capacity, DType dtype = DType::f32) const;

  enum class Logits { none, last, all };
  /// Tokens of one sequence, behind what its cache holds: see Session.
  struct Item {
    std::span<const int32_t> ids;
    KvCache* cache = nullptr;  ///< of this item alone
    Logits wanted = Logits::last;
  };
  /// Session::run() of one sequence, in memory of its own.
  std::vector<float> forward(std::span<const int32_t> ids, KvCache& cache, Logits wanted,
                             const Exec& exec) const;

  /// Bytes the loaded weights hold; bytes read for each decoded token (no embedding table, the head
  /// included).
  size_t memory_bytes() const;
  size_t weight_bytes() const;
  /// Bytes that a pass of so many rows, one of which has its logits computed, works in: its cache
  /// holds them from then on.
  int64_t pass_bytes(int64_t rows, const Exec& exec) const;
  /// Calls f(group, member) for every projection, in the order they run.
  void for_each_linear(const std::function<void(const LinearGroup&, size_t)>& f) const;

 private:
  friend class Session;
  // Session::run(); the workspace is for this decoder alone.
  std::span<const float> run(std::span<const Item> batch, Workspace& workspace,
                             const Exec& exec) const;
  // What goes through the model together, and for which rows logits are wanted.
  struct Batch {
    std::span<const int32_t> ids;
    std::span<const SequenceRows> sequences;
    std::span<const int64_t> logit_rows;
  };
  void build_ends(const ParameterFinder& find, const LinearOptions& options);
  void check(std::span<const Item> batch) const;
  void check(std::span<const int32_t> ids, const KvCache& cache) const;
  std::span<const float> pass(const Batch& batch, Workspace& workspace, const Exec& exec) const;
  int64_t products_bytes(int64_t m, int64_t logit_rows, int threads) const;
  void run_together(const Batch& batch, const LayerPass& pass, float* logits, Team& team) const;
  void run_heard(const Batch& batch, const LayerPass& pass, float* logits, int threads,
                 const Exec& exec) const;
  void embed(const Batch& batch, const LayerPass& pass, const Team& team) const;
  void final_norm(const Batch& batch, const LayerPass& pass, const Team& team) const;
  void require_finite(const Batch& batch, std::span<const float> logits) const;
  [[noreturn]] void fail(const Error& error) const;
  int64_t multiplications(int64_t rows, int64_t logit_rows) const {
    return rows * layer_multiplications_ + logit_rows * head_.multiplications();
  }
  int threads_for(int64_t rows, int64_t logit_rows, const Exec& exec) const;

  DecoderConfig config_;
  ModelEnds ends_;  // without a token table where the head is the table
  std::vector<Rotary> ropes_;
  std::vector<Layer> layers_;
  PassSize size_;
  CacheShape cache_shape_;
  LinearGroup head_;
  std::function<void(Error)> on_bad_values_;
  int64_t layer_multiplications_ = 0;  // for one row through all layers
};

}  // namespace nibble
