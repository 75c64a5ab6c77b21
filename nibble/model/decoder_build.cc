#include "nibble/model/decoder_build.h"

#include <fmt/format.h>

#include "nibble/core/float_formats.h"

namespace nibble {
namespace {

Shape shape_of(const Weight& w) {
  return std::visit(
      [](const auto& t) -> Shape {
        if constexpr (std::is_same_v<std::decay_t<decltype(t)>, Tensor>)
          return t.shape();
        else
          return t.shape;
      },
      w);
}

}  // namespace

ParameterFinder::ParameterFinder(const DecoderConfig& config, const WeightLoader& load,
                                 const WeightRelease& release)
    : load_(load), release_(release) {
  for (ParamSpec& p : parameter_table(config)) {
    const auto key = std::make_tuple(p.role, p.layer, p.bias);
    specs_.emplace(key, std::move(p));
  }
}

const ParamSpec* ParameterFinder::find(Role role, int layer, bool bias) const {
  const auto found = specs_.find({role, layer, bias});
  return found == specs_.end() ? nullptr : &found->second;
}

const ParamSpec& ParameterFinder::require(Role role, int layer, bool bias) const {
  const ParamSpec* spec = find(role, layer, bias);
  NIBBLE_CHECK(spec != nullptr);
  return *spec;
}

Weight ParameterFinder::load(const ParamSpec& spec) const {
  Weight w = load_(spec);
  if (shape_of(w) != spec.shape) {
    throw corrupt(fmt::format("expected shape {} by config.json, found {}", spec.shape.to_string(),
                              shape_of(w).to_string()))
        .at("tensor " + in_quotes(spec.name));
  }
  return w;
}

LinearMember ParameterFinder::linear(Role role, int layer) const {
  const ParamSpec& spec = require(role, layer, false);
  LinearMember out{spec.name, load(spec), std::nullopt};
  if (find(role, layer, true) != nullptr) {
    const std::vector<float> bias = vector(role, layer, true);
    out.bias = Tensor::from<float>(Shape{static_cast<int64_t>(bias.size())}, bias);
  }
  return out;
}

Weight ParameterFinder::table(Role role) const { return load(require(role, -1, false)); }

std::vector<float> ParameterFinder::vector(Role role, int layer, bool bias) const {
  const ParamSpec* spec = find(role, layer, bias);
  if (spec == nullptr) return {};
  const Weight w = load(*spec);
  NIBBLE_CHECK(std::holds_alternative<Tensor>(w));
  std::vector<float> out(static_cast<size_t>(spec->shape.elements()));
  to_f32(std::get<Tensor>(w), out);
  if (release_) release_(*spec);
  return out;
}

void ParameterFinder::done(Role role, int layer) const {
  if (release_) release_(require(role, layer, false));
}

Block build_block(const DecoderConfig& config, int layer, const ParameterFinder& find,
                  const LinearOptions& options) {
  const auto group = [&](std::initializer_list<Role> roles) {
    std::vector<LinearMember> members;
    for (const Role role : roles) members.push_back(find.linear(role, layer));
    LinearGroup made(std::move(members), options);
    for (const Role role : roles) find.done(role, layer);
    return made;
  };
  Block block;
  block.attn_gain = find.vector(Role::attn_norm, layer, false);
  block.attn_bias = find.vector(Role::attn_norm, layer, true);
  block.mlp_gain = find.vector(Role::mlp_norm, layer, false);
  block.mlp_bias = find.vector(Role::mlp_norm, layer, true);
  block.q_gain = find.vector(Role::q_norm, layer, false);
  block.k_gain = find.vector(Role::k_norm, layer, false);
  block.qkv = config.fused_qkv ? group({Role::qkv}) : group({Role::q, Role::k, Role::v});
  block.o = group({Role::o});
  block.up = config.mlp == MlpKind::silu_gated ? group({Role::gate, Role::up}) : group({Role::up});
  block.down = group({Role::down});
  block.window = layer >= config.first_window_layer ? config.sliding_window : 0;
  return block;
}

}  // namespace nibble
