// ParameterFinder: takes parameters of a decoder from a WeightLoader, by their keys, and checks
// their shapes.
#pragma once

#include <functional>
#include <map>
#include <vector>

#include "nibble/model/config.h"
#include "nibble/nn/linear.h"

namespace nibble {

/// Gives the weight (or gain, or bias) stored under a name of the parameter table. Called once for
/// each.
using WeightLoader = std::function<Weight(const ParamSpec&)>;
/// Hears of a parameter that its place in the model has been filled with: what it was made of can
/// be let go.
using WeightRelease = std::function<void(const ParamSpec&)>;

class ParameterFinder {
 public:
  /// `load` and `release` are referred to.
  ParameterFinder(const DecoderConfig& config, const WeightLoader& load,
                  const WeightRelease& release);
  /// A matrix with its bias, ready for a LinearGroup.
  LinearMember linear(const ParamKey& key) const;
  Weight table(Role role) const;
  /// A gain, a bias or another small parameter as f32; empty where the config has none.
  std::vector<float> vector(const ParamKey& key) const;
  /// The weight of `key` is in its place.
  void done(const ParamKey& key) const;

 private:
  const ParamSpec* find(const ParamKey& key) const;
  const ParamSpec& require(const ParamKey& key) const;
  Weight load(const ParamSpec& spec) const;

  std::map<ParamKey, ParamSpec> specs_;
  const WeightLoader& load_;
  const WeightRelease& release_;
};

}  // namespace nibble
