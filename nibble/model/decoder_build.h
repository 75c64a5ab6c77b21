// Building a Decoder's parts from a WeightLoader: finds each parameter in the table and checks its
// shape.
#pragma once

#include <map>
#include <tuple>
#include <vector>

#include "nibble/model/decoder.h"

namespace nibble {

class ParameterFinder {
 public:
  ParameterFinder(const DecoderConfig& config, const WeightLoader& load,
                  const WeightRelease& release);
  /// A matrix with its bias, ready for a LinearGroup.
  LinearMember linear(Role role, int layer) const;
  Weight table(Role role) const;
  /// A gain or bias as f32; empty where the config has none.
  std::vector<float> vector(Role role, int layer, bool bias) const;
  /// The weight of (role, layer) is in its place.
  void done(Role role, int layer) const;

 private:
  const ParamSpec* find(Role role, int layer, bool bias) const;
  const ParamSpec& require(Role role, int layer, bool bias) const;
  Weight load(const ParamSpec& spec) const;

  std::map<std::tuple<Role, int, bool>, ParamSpec> specs_;
  const WeightLoader& load_;
  const WeightRelease& release_;
};

Block build_block(const DecoderConfig& config, int layer, const ParameterFinder& find,
                  const LinearOptions& options);

}  // namespace nibble
