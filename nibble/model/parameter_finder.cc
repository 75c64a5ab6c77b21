#include "nibble/model/parameter_finder.h"

#include <fmt/format.h>

#include "nibble/core/float_formats.h"

namespace nibble {
ParameterFinder::ParameterFinder(const DecoderConfig& config, const WeightLoader& load,
                                 const WeightRelease& release)
    : load_(load), release_(release) {
  for (ParamSpec& p : parameter_table(config)) {
    const ParamKey key = p;
    specs_.emplace(key, std::move(p));
  }
}

const ParamSpec* ParameterFinder::find(const ParamKey& key) const {
  const auto found = specs_.find(key);
  return found == specs_.end() ? nullptr : &found->second;
}

const ParamSpec& ParameterFinder::require(const ParamKey& key) const {
  const ParamSpec* spec = find(key);
  NIBBLE_CHECK(spec != nullptr);
  return *spec;
}

Weight ParameterFinder::load(const ParamSpec& spec) const {
  Weight w = load_(spec);
  if (w.shape() != spec.shape) {
    throw corrupt(fmt::format("expected shape {} by config.json, found {}", spec.shape.to_string(),
                              w.shape().to_string()))
        .at("tensor " + in_quotes(spec.name));
  }
  return w;
}

LinearMember ParameterFinder::linear(const ParamKey& key) const {
  const ParamSpec& spec = require(key);
  LinearMember out{spec.name, load(spec), std::nullopt};
  if (find(key.with_bias(true)) != nullptr) {
    const std::vector<float> bias = vector(key.with_bias(true));
    out.bias = Tensor::from<float>(Shape{static_cast<int64_t>(bias.size())}, bias);
  }
  return out;
}

Weight ParameterFinder::table(Role role) const { return load(require({role})); }

std::vector<float> ParameterFinder::vector(const ParamKey& key) const {
  const ParamSpec* spec = find(key);
  if (spec == nullptr) return {};
  std::vector<float> out = load(*spec).values();
  if (release_) release_(*spec);
  return out;
}

void ParameterFinder::done(const ParamKey& key) const {
  if (release_) release_(require(key));
}

}  // namespace nibble
