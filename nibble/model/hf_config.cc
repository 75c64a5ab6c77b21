#include "nibble/model/hf_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <vector>

namespace nibble::hf {
namespace {

struct ActivationRow {
  std::string_view name;
  std::optional<MlpKind> plain, gated;
};
// The first name of a kind is the one written.
constexpr ActivationRow kActivations[] = {
    {"gelu_pytorch_tanh", {}, MlpKind::gelu_tanh_gated},
    {"gelu_new", MlpKind::gelu_tanh, MlpKind::gelu_tanh_gated},
    {"gelu_pytorch_tanh", MlpKind::gelu_tanh, {}},
    {"gelu", MlpKind::gelu, {}},
    {"relu", MlpKind::relu, {}},
    {"relu2", MlpKind::relu_squared, {}},
    {"silu", {}, MlpKind::silu_gated},
    {"swish", {}, MlpKind::silu_gated}};

}  // namespace

std::string tensor_name(std::span<const NameRow> names, std::string_view layers,
                        const ParamKey& key) {
  for (const NameRow& r : names) {
    if (r.role != key.role) continue;
    const std::string_view end = r.bare ? "" : key.bias ? ".bias" : ".weight";
    if (key.layer < 0) return fmt::format("{}{}", r.name, end);
    const std::string inside = fmt::format(fmt::runtime(r.name), key.expert);
    return fmt::format("{}.{}.{}{}", layers, key.layer, inside, end);
  }
  NIBBLE_CHECK(false && "a role without a name");
  return {};
}

bool has_row(std::span<const NameRow> names, Role role) {
  return std::any_of(names.begin(), names.end(), [&](const NameRow& r) { return r.role == role; });
}

std::string tensor_name_or_llama(std::span<const NameRow> own, const ParamKey& key) {
  return has_row(own, key.role) ? tensor_name(own, "layers", key) : llama_tensor_name(key);
}

std::string at_key(std::string_view key) { return fmt::format("key \"{}\"", key); }

int64_t size(const JsonFields& fields, std::string_view key) {
  constexpr int64_t kMost = int64_t{1} << 31;
  const int64_t value = fields.integer(key);
  if (value >= 1 && value <= kMost) return value;
  throw corrupt(fmt::format("must be between 1 and {} (got {})", kMost, value)).at(at_key(key));
}

double positive(const JsonFields& fields, std::string_view key) {
  const double value = fields.number(key);
  if (value > 0) return value;
  throw corrupt(fmt::format("must be a positive number (got {})", value)).at(at_key(key));
}

double positive_or(const JsonFields& fields, std::string_view key, double otherwise) {
  return fields.contains(key) && !fields.is_null(key) ? positive(fields, key) : otherwise;
}

void set_layer_norm(const JsonFields& f, std::string_view eps_key, bool bias, DecoderConfig& c) {
  c.norm = NormKind::layer;
  c.norm_gain = c.final_norm = true;
  c.norm_bias = bias;
  c.norm_eps = positive_or(f, eps_key, 1e-5);
}

void require_flag(const JsonFields& fields, std::string_view key, bool expected) {
  if (fields.boolean_or(key, expected) == expected) return;
  throw unsupported(fmt::format("{} cannot be run (expected {})", !expected, expected))
      .at(at_key(key));
}

void require_text(const JsonFields& fields, std::string_view key, std::string_view expected) {
  const std::string found = fields.string_or(key, std::string(expected));
  if (found == expected) return;
  throw unsupported(
      fmt::format("{} cannot be run (expected {})", in_quotes(found), in_quotes(expected)))
      .at(at_key(key));
}

MlpKind activation(const JsonFields& fields, std::string_view key, std::string_view otherwise,
                   bool gated) {
  const std::string name = fields.string_or(key, std::string(otherwise));
  std::vector<std::string_view> known;
  for (const ActivationRow& r : kActivations) {
    const std::optional<MlpKind> kind = gated ? r.gated : r.plain;
    if (!kind) continue;
    if (r.name == name) return *kind;
    known.push_back(r.name);
  }
  throw unsupported(fmt::format("{} is none of {}", in_quotes(name), fmt::join(known, ", ")))
      .at(at_key(key));
}

std::string_view activation_name(MlpKind mlp) {
  for (const ActivationRow& r : kActivations) {
    if (r.plain == mlp || r.gated == mlp) return r.name;
  }
  NIBBLE_CHECK(false);
  return {};
}

int64_t divide_heads(int64_t hidden_size, int64_t heads, std::string_view key) {
  if (heads >= 1 && hidden_size % heads == 0) return hidden_size / heads;
  throw corrupt(fmt::format("{} heads do not divide a width of {}", heads, hidden_size))
      .at(at_key(key));
}

}  // namespace nibble::hf
