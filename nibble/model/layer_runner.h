// LayerRunner: a model's layers one at a time, for calibration: whole sequences go through one
// layer, it is let go, and the next one follows. Only one layer and the residual streams are in
// memory. Between the steps of a layer calibration stands at its sites.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "nibble/model/model_ends.h"
#include "nibble/model/site_input.h"

namespace nibble {

class LayerRunner {
 public:
  /// Reads embeddings through `load`; throws what Decoder throws.
  LayerRunner(const DecoderConfig& config, WeightLoader load);

  /// The residual stream of a sequence before the first layer, [ids.size(), hidden_size].
  std::vector<float> embed(std::span<const int32_t> ids) const;
  /// Builds a layer of the weights that the loader gives now.
  Layer layer(int index, const LinearOptions& options = {}) const;
  /// Runs a whole sequence of `x.size() / hidden_size` rows through a layer, in place, on the
  /// calling thread.
  void run(const Layer& layer, std::span<float> x) const;
  /// x = what lm_head reads, row by row.
  void final_norm(std::span<float> x) const;

  /// What is kept of a sequence in front of a site (SiteInput): x is the residual stream, `before`
  /// what was kept in front of the site ahead, where SiteSteps::before says so. On the calling
  /// thread.
  std::vector<float> input(const Layer& layer, size_t site, std::span<const float> x,
                           std::span<const float> before) const;
  /// x behind the site's products, from what was kept in front of it; nothing where the site's
  /// SiteSteps::end says that other sites come first.
  void add_output(const Layer& layer, size_t site, std::span<const float> kept,
                  std::vector<float>& x) const;

  const DecoderConfig& config() const { return config_; }

 private:
  // f(pass, team) with x in the stream.
  template <class F>
  void pass(const Layer& layer, std::span<const float> x, F f) const;
  // What a pass of one thread writes to.
  struct Place {
    std::optional<KvCache> cache;
    Workspace workspace;
  };
  std::unique_ptr<Place> take(const LayerPlan& plan, int64_t rows) const;

  DecoderConfig config_;
  WeightLoader load_;
  ModelEnds ends_;
  std::vector<Rotary> ropes_;
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Place>> idle_;
};

}  // namespace nibble
