// The slow definition of a layer, step by step: what run_reference_layer() is made of.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "nibble/model/layer_plan.h"
#include "nibble/model/parameter_finder.h"
#include "nibble/model/reference_math.h"

namespace nibble::reference {

// The steps of one layer. A row for each (row of the stream, choice of an expert) is where the plan
// has several; here they lie in the order of the stream.
class Steps {
 public:
  Steps(const DecoderConfig& config, int layer, const ParameterFinder& find, Rows& x)
      : config_(config),
        layer_(layer),
        plan_(layer_plan(config, layer)),
        find_(find),
        rows_(std::ssize(x) / config.hidden_size) {
    buffer(BufferId::stream) = std::move(x);
    for (const Step& step : plan_.steps) run(step);
    x = std::move(buffer(BufferId::stream));
  }

 private:
  Rows& buffer(BufferId id) { return buffers_[static_cast<size_t>(id)]; }
  double* row(BufferId id, int64_t r) { return buffer(id).data() + r * plan_.buffer(id).width; }
  // Where what a step gives goes.
  Rows& output(const BufferId id, bool adds) {
    if (!adds) buffer(id).assign(at(rows_ * plan_.buffer(id).rows * plan_.buffer(id).width), 0.0);
    return buffer(id);
  }

  void run(const Step& step);
  void norm(const NormPlan& n, double* x) const;
  void norm(const Step& step);
  void project(const Step& step);
  void multiply(const Site& site, const SiteMember& m, int64_t expert);
  void split(BufferId of);
  void activate(const Step& step);
  void gate(const Step& step);
  void gate_rows(const Step& step);
  void add(const Step& step);
  void route(const Step& step);
  void choose(const Rows& logits);
  void combine(const Step& step);
  // reference_mixers.cc
  void turn(const Rotary& rotary, int64_t r, double* x) const;
  void prepare(BufferId id, int norm_index);
  void convolve_head(std::span<const float> taps, int64_t r, int64_t channel, int64_t column,
                     Rows& out);
  static double silu(double x) { return x / (1 + std::exp(-x)); }
  static void make_unit(double scale, Rows& x);
  void delta(const Step& step);
  void delta_head(BufferId out, int64_t head);
  void mamba_convolve(const Step& step);
  void mamba_scan(const Step& step);
  void mamba_gate(const Step& step);
  void keys(const Step& step);
  void attend(const Step& step);
  void attend(const AttentionRule& rule, int64_t r, int64_t head, const float* sink);
  void convolve(const Step& step);

  const DecoderConfig& config_;
  const int layer_;
  const LayerPlan plan_;
  const ParameterFinder& find_;
  const int64_t rows_;
  std::array<Rows, kBuffers> buffers_;
  std::vector<int64_t> chosen_;  // of each row of the stream, the experts ...
  Rows weights_;                 // ... and the weights with which they come back
};

}  // namespace nibble::reference
