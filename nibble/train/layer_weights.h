// The weights of one layer as its gradient pass reads them, and where their gradients go: by the
// places of its plan.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "nibble/model/layer_plan.h"
#include "nibble/model/parameter_finder.h"
#include "nibble/train/matrix_product.h"

namespace nibble {

/// The plan of a layer with the parts of a fused matrix of queries, keys and values as matrices of
/// their own, under the roles q, k and v.
LayerPlan gradient_plan(const DecoderConfig& config, int layer);

/// The key of a site's member, of one expert where the site has them.
ParamKey key_of(const Site& site, const SiteMember& member, int layer, int64_t copy);

template <class T>
struct NormView {
  const T *gain = nullptr, *bias = nullptr;  ///< null where the norm has none
};
template <class T>
struct NormSlope {
  T *gain = nullptr, *bias = nullptr;
};

/// What a layer multiplies with. Whoever makes it decides what each matrix is: the weight itself,
/// or what stands for it.
template <class T>
struct LayerView {
  std::vector<NormView<T>> norms;                 ///< as plan.norms
  std::vector<std::vector<MatrixView<T>>> sites;  ///< [site][copy * members + member]
  MatrixView<T> router;
  const T *taps = nullptr, *taps_bias = nullptr;  ///< of a convolution
};

/// Where gradients of the same are added up; null (or an empty list): not asked for.
template <class T>
struct LayerSlopes {
  std::vector<NormSlope<T>> norms;
  std::vector<std::vector<MatrixSlope<T>>> sites;
  MatrixSlope<T> router;
  T *taps = nullptr, *taps_bias = nullptr;
};

/// Asks for each parameter of a gradient_plan() once: a gain, or a bias of a norm or convolution,
/// by `vector`, which gives null where there is none.
template <class T>
LayerView<T> layer_view(const LayerPlan& plan, int layer,
                        const std::function<MatrixView<T>(const ParamKey&)>& matrix,
                        const std::function<const T*(const ParamKey&)>& vector);
/// `of` gives null for what is not asked for, and for what there is not.
template <class T>
LayerSlopes<T> layer_slopes(const LayerPlan& plan, int layer,
                            const std::function<T*(const ParamKey&)>& of);

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
