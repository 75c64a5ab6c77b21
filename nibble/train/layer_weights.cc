#include "nibble/train/layer_weights.h"

#include <algorithm>
#include <span>

#include "nibble/core/float_formats.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "nibble/model/weight_floats.h"

namespace nibble {
namespace {

// Takes the parameters of a layer.
template <class T>
class Loader {
 public:
  Loader(const ParameterFinder& find, bool narrow, const TrainOps<T>& ops, LayerWeights<T>& out)
      : find_(find), narrow_(narrow && has_bf16_products()), ops_(ops), out_(out) {}

  void load(const LayerPlan& stored) {
    for (const NormPlan& n : stored.norms) vector({n.role, out_.layer});
    for (const Site& site : stored.sites) {
      for (int64_t copy = 0; copy < stored.copies(site); ++copy) {
        for (const SiteMember& m : site.members)
          matrix(key_of(site, m, out_.layer, copy), stored, m, narrow_);
      }
    }
    if (stored.convolution) vector({Role::conv, out_.layer});
    if (stored.experts) matrix({Role::router, out_.layer}, stored, {}, false);
  }

 private:
  // With the bias beside it.
  void vector(const ParamKey& key) {
    for (const bool bias : {false, true}) {
      const std::vector<float> values = find_.vector(key.with_bias(bias));
      if (!values.empty()) out_.vectors[key.with_bias(bias)] = buffer_of<T>(values);
    }
  }

  void matrix(const ParamKey& key, const LayerPlan& stored, const SiteMember& member, bool narrow) {
    const LinearMember given = find_.linear(key);
    const std::vector<float> weight = floats_of(given.weight);
    std::vector<float> bias;
    if (given.bias) {
      bias.resize(static_cast<size_t>(given.bias->elements()));
      to_f32(*given.bias, bias);
    }
    find_.done(key);
    const auto part = [&](Role role, int64_t first, int64_t n) {
      const auto of = [&](const std::vector<float>& values, int64_t each) {
        return std::span(values).subspan(static_cast<size_t>(first * each),
                                         static_cast<size_t>(n * each));
      };
      ParamKey own = key;
      own.role = role;
      out_.matrices[own] =
          make_matrix(of(weight, columns(given.weight)),
                      bias.empty() ? std::span<const float>() : of(bias, 1), n, narrow, ops_);
    };
    if (key.role != Role::qkv) return part(key.role, 0, rows(given.weight));
    for (const auto& [role, id] : {std::pair(Role::q, BufferId::q), std::pair(Role::k, BufferId::k),
                                   std::pair(Role::v, BufferId::v)}) {
      NIBBLE_CHECK(stored.buffer(id).within == member.out);
      part(role, stored.buffer(id).first, stored.buffer(id).width);
    }
  }

  const ParameterFinder& find_;
  const bool narrow_;
  const TrainOps<T>& ops_;
  LayerWeights<T>& out_;
};

}  // namespace

LayerPlan gradient_plan(const DecoderConfig& config, int layer) {
  LayerPlan plan = layer_plan(config, layer);
  for (Site& site : plan.sites) {
    if (site.members.front().role != Role::qkv) continue;
    const bool bias = site.members.front().bias;
    site.members.clear();
    for (const auto& [role, id] : {std::pair(Role::q, BufferId::q), std::pair(Role::k, BufferId::k),
                                   std::pair(Role::v, BufferId::v)}) {
      BufferPlan& b = plan.buffers[static_cast<size_t>(id)];
      b = {b.width, 1, std::nullopt, 0};
      site.members.push_back({role, b.width, bias, id});
    }
    plan.buffers[static_cast<size_t>(BufferId::qkv)] = {};
  }
  return plan;
}

ParamKey key_of(const Site& site, const SiteMember& member, int layer, int64_t copy) {
  return {member.role, layer, site.experts ? static_cast<int>(copy) : -1};
}

template <class T>
LayerView<T> layer_view(const LayerPlan& plan, int layer,
                        const std::function<MatrixView<T>(const ParamKey&)>& matrix,
                        const std::function<const T*(const ParamKey&)>& vector) {
  LayerView<T> out;
  for (const NormPlan& n : plan.norms)
    out.norms.push_back({vector({n.role, layer}), vector({n.role, layer, -1, true})});
  for (const Site& site : plan.sites) {
    std::vector<MatrixView<T>>& all = out.sites.emplace_back();
    for (int64_t copy = 0; copy < plan.copies(site); ++copy) {
      for (const SiteMember& m : site.members) all.push_back(matrix(key_of(site, m, layer, copy)));
    }
  }
  if (plan.experts) out.router = matrix({Role::router, layer});
  if (plan.convolution) {
    out.taps = vector({Role::conv, layer});
    out.taps_bias = vector({Role::conv, layer, -1, true});
  }
  return out;
}

template <class T>
LayerSlopes<T> layer_slopes(const LayerPlan& plan, int layer,
                            const std::function<T*(const ParamKey&)>& of) {
  LayerSlopes<T> out;
  const auto both = [&](const ParamKey& key) {
    return std::pair(of(key), of(key.with_bias(true)));
  };
  const auto matrix = [&](const ParamKey& key) {
    const auto [weight, bias] = both(key);
    return MatrixSlope<T>{weight, bias};
  };
  for (const NormPlan& n : plan.norms) {
    const auto [gain, bias] = both({n.role, layer});
    out.norms.push_back({gain, bias});
  }
  for (const Site& site : plan.sites) {
    std::vector<MatrixSlope<T>>& all = out.sites.emplace_back();
    for (int64_t copy = 0; copy < plan.copies(site); ++copy) {
      for (const SiteMember& m : site.members) all.push_back(matrix(key_of(site, m, layer, copy)));
    }
  }
  if (plan.experts) out.router = matrix({Role::router, layer});
  if (plan.convolution) std::tie(out.taps, out.taps_bias) = both({Role::conv, layer});
  return out;
}

template <class T>
LayerView<T> LayerWeights<T>::view() const {
  return layer_view<T>(
      plan, layer, [this](const ParamKey& key) { return matrices.at(key).view(); },
      [this](const ParamKey& key) -> const T* {
        const auto found = vectors.find(key);
        return found == vectors.end() ? nullptr : found->second.data();
      });
}

template <class T>
LayerWeights<T> load_layer_weights(const DecoderConfig& config, const ParameterFinder& find,
                                   int layer, bool narrow, const TrainOps<T>& ops) {
  LayerWeights<T> out{layer, gradient_plan(config, layer), {}, {}};
  Loader<T>(find, narrow, ops, out).load(layer_plan(config, layer));
  return out;
}

#define NIBBLE_LAYER_WEIGHTS(T)                                                                  \
  template LayerView<T> layer_view(const LayerPlan&, int,                                        \
                                   const std::function<MatrixView<T>(const ParamKey&)>&,         \
                                   const std::function<const T*(const ParamKey&)>&);             \
  template LayerSlopes<T> layer_slopes(const LayerPlan&, int,                                    \
                                       const std::function<T*(const ParamKey&)>&);               \
  template struct LayerWeights<T>;                                                               \
  template LayerWeights<T> load_layer_weights(const DecoderConfig&, const ParameterFinder&, int, \
                                              bool, const TrainOps<T>&);
NIBBLE_LAYER_WEIGHTS(float)
NIBBLE_LAYER_WEIGHTS(double)
#undef NIBBLE_LAYER_WEIGHTS

}  // namespace nibble
