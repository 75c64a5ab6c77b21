#include "nibble/model/mlp_model.h"

#include <fmt/format.h>

#include "nibble/core/float_formats.h"
#include "nibble/kernels/layer.h"

namespace nibble {
namespace {

constexpr int64_t kWidthLimit = 1 << 24;
constexpr size_t kLayerLimit = 1000;

Tensor load_bias(const WeightLoader& load, const ParamSpec& spec) {
  return convert(load(spec).plain(), DType::f32);
}

}  // namespace

MlpConfig read_mlp_config(const JsonFields& fields) {
  MlpConfig config{fields.integers("sizes")};
  const bool counted = config.sizes.size() >= 2 && config.sizes.size() <= kLayerLimit;
  if (!counted) throw corrupt("must list 2 to 1000 widths, inputs first").at("key \"sizes\"");
  for (const int64_t s : config.sizes) {
    if (s < 1 || s > kWidthLimit) {
      throw corrupt(fmt::format("must be between 1 and {} (got {})", kWidthLimit, s))
          .at("key \"sizes\"");
    }
  }
  return config;
}

void write_mlp_config(const MlpConfig& config, JsonWriter& out) {
  out.array("sizes", config.sizes);
}

Mlp::Mlp(const MlpConfig& config, const WeightLoader& load, const LinearOptions& options)
    : config_(config) {
  const std::vector<ParamSpec> table = parameter_table(config_);
  for (size_t i = 0; i + 1 < table.size(); i += 2) {
    NIBBLE_CHECK(table[i].is_matrix() && table[i + 1].bias);
    LinearMember member{table[i].name, load(table[i]), load_bias(load, table[i + 1])};
    if (member.weight.rows() != table[i].shape[0] || member.weight.columns() != table[i].shape[1]) {
      throw corrupt(fmt::format("expected shape {} by config.json, found [{}, {}]",
                                table[i].shape.to_string(), member.weight.rows(),
                                member.weight.columns()))
          .at("tensor " + in_quotes(table[i].name));
    }
    std::vector<LinearMember> members;
    members.push_back(std::move(member));
    layers_.emplace_back(std::move(members), options);
  }
}

std::vector<float> Mlp::forward(std::span<const float> x, int64_t m, const Exec& exec) const {
  std::vector<float> in(x.begin(), x.end());
  for (size_t i = 0; i < layers_.size(); ++i) {
    std::vector<float> out(static_cast<size_t>(m * layers_[i].outputs(0)));
    layers_[i].forward(in, m, out.data(), exec);
    if (i + 1 < layers_.size()) best_layer_ops().relu(static_cast<int64_t>(out.size()), out.data());
    in = std::move(out);
  }
  return in;
}

size_t Mlp::memory_bytes() const {
  size_t sum = 0;
  for (const LinearGroup& g : layers_) sum += g.memory_bytes();
  return sum;
}

void Mlp::for_each_linear(const std::function<void(const LinearGroup&, size_t)>& f) const {
  for (const LinearGroup& g : layers_) f(g, 0);
}

}  // namespace nibble
