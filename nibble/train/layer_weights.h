// The weights of one layer as its gradient pass reads them, and where their gradients go: by the
// places of its plan.
#pragma once

#include <cstdint>
#include <map>
#include <type_traits>
#include <vector>

#include "nibble/model/layer_plan.h"
#include "nibble/model/parameter_finder.h"
#include "nibble/train/matrix_product.h"

namespace nibble {

/// The plan of a layer with the parts of a fused matrix of queries, keys and values as matrices of
/// their own, under the roles q, k and v.
LayerPlan gradient_plan(const DecoderConfig& config, int layer);

/// The plan by which a layer is trained: where heads do what TrainOps::attention does, queries,
/// keys and values are one matrix (role qkv), however they are stored; otherwise gradient_plan().
LayerPlan training_plan(const DecoderConfig& config, int layer);

/// The key of a site's member, of one expert where the site has them.
ParamKey key_of(const Site& site, const SiteMember& member, int layer, int64_t copy);

/// A gain and a bias, or where their gradients go; null: there is none, or it is not asked for.
template <class V>
struct NormParts {
  V *gain = nullptr, *bias = nullptr;
};

/// Something for every parameter of a layer, by the places of its plan.
template <class Matrix, class V>
struct LayerParts {
  std::vector<NormParts<V>> norms;         ///< as plan.norms
  std::vector<std::vector<Matrix>> sites;  ///< [site][copy * members + member]
  Matrix router;
  V *taps = nullptr, *taps_bias = nullptr;    ///< of a convolution
  V *decay = nullptr, *decay_bias = nullptr;  ///< of a delta layer
  V* skip = nullptr;                          ///< of Mamba2
  V* router_correction = nullptr;             ///< which no gradient comes to
  V* row_gate = nullptr;
  V* sinks = nullptr;
  V* expert_scale = nullptr;
  V* scale = nullptr;  ///< of Op::scale
};

/// What a layer multiplies with. Whoever makes it decides what each matrix is: the weight itself,
/// or what stands for it.
template <class T>
using LayerView = LayerParts<MatrixView<T>, const T>;
template <class T>
using NormView = NormParts<const T>;

/// Where gradients of the same are added up.
template <class T>
using LayerSlopes = LayerParts<MatrixSlope<T>, T>;
template <class T>
using NormSlope = NormParts<T>;

/// Asks for each parameter of a plan once: matrix(key), with its bias, and vector(key) for gains
/// and taps and their biases, which gives null where there is none.
template <class V, class MatrixOf, class VectorOf>
auto layer_parts(const LayerPlan& plan, int layer, const MatrixOf& matrix, const VectorOf& vector) {
  LayerParts<std::invoke_result_t<MatrixOf, ParamKey>, V> out;
  for (const NormPlan& n : plan.norms)
    out.norms.push_back(
        {vector(ParamKey{n.role, layer}), vector(ParamKey{n.role, layer, -1, true})});
  for (const Site& site : plan.sites) {
    auto& all = out.sites.emplace_back();
    for (int64_t copy = 0; copy < plan.copies(site); ++copy) {
      for (const SiteMember& m : site.members) all.push_back(matrix(key_of(site, m, layer, copy)));
    }
  }
  if (plan.experts) {
    out.router = matrix(ParamKey{Role::router, layer});
    out.router_correction = vector(ParamKey{Role::router_correction, layer});
    out.expert_scale = vector(ParamKey{Role::expert_scale, layer});
  }
  out.scale = vector(ParamKey{Role::layer_scale, layer});
  if (plan.attention && plan.attention->sinks) out.sinks = vector(ParamKey{Role::sinks, layer});
  if (plan.gates_rows) out.row_gate = vector(ParamKey{Role::shared_router, layer});
  if (plan.mamba) out.skip = vector(ParamKey{Role::mamba_skip, layer});
  if (plan.delta || plan.mamba) {
    out.decay = vector(ParamKey{Role::delta_decay, layer});
    out.decay_bias = vector(ParamKey{Role::delta_decay_bias, layer});
  }
  if (plan.convolution || plan.delta || plan.mamba) {
    out.taps = vector(ParamKey{Role::conv, layer});
    out.taps_bias = vector(ParamKey{Role::conv, layer, -1, true});
  }
  return out;
}

/// All parameters of one layer in memory of their own, whatever their stored type.
template <class T>
struct LayerWeights {
  int layer = 0;
  LayerPlan plan;                               ///< gradient_plan()
  std::map<ParamKey, TrainMatrix<T>> matrices;  ///< with their biases
  std::map<ParamKey, Buffer<T>> vectors;
  /// Refers to this.
  LayerView<T> view() const;
};

/// `narrow`: as make_matrix() has it, where the processor multiplies bf16 (never a router, which
/// decides). Throws what ParameterFinder throws.
template <class T>
LayerWeights<T> load_layer_weights(const DecoderConfig& config, const ParameterFinder& find,
                                   int layer, bool narrow, const TrainOps<T>& ops);

}  // namespace nibble
