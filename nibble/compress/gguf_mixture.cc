#include "nibble/compress/gguf_mixture.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "nibble/core/error.h"

namespace nibble {
namespace {

// A place among the layers that gets more bits: the first and the last eighth, and every third.
bool more_bits(int layer, int64_t layers) {
  const int64_t eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

// Empty: the base's.
using Choose = std::string_view (*)(int layer, const DecoderConfig& config);

std::string_view six_where_more(int layer, const DecoderConfig& c) {
  return more_bits(layer, c.layers) ? "q6_k" : "";
}
bool shares_values(const DecoderConfig& c) { return c.heads / c.kv_heads >= 4; }

struct MixtureRow {
  std::string_view name, base;
  Choose v = nullptr, down = nullptr, o = nullptr;  ///< v: or q, k and v in one
};

template <char kDigit>
std::string_view always(int, const DecoderConfig&) {
  return kDigit == '3' ? "q3_k" : kDigit == '4' ? "q4_k" : "q5_k";
}

constexpr MixtureRow kMixtures[] = {
    {"Q8_0", "int8:g32"},
    {"Q6_K", "q6_k"},
    {"Q5_K_M", "q5_k", six_where_more, six_where_more},
    {"Q5_K_S", "q5_k"},
    {"Q5_1", "q5_1"},
    {"Q5_0", "int5:g32"},
    {"Q4_K_M", "q4_k", six_where_more, six_where_more},
    {"Q4_K_S", "q4_k",
     [](int layer, const DecoderConfig&) -> std::string_view { return layer < 4 ? "q5_k" : ""; },
     [](int layer, const DecoderConfig& c) -> std::string_view {
       return layer < c.layers / 8 ? "q5_k" : "";
     }},
    {"Q4_1", "q4_1"},
    {"Q4_0", "int4:g32"},
    {"IQ4_NL", "iq4_nl",
     [](int, const DecoderConfig& c) -> std::string_view {
       return shares_values(c) ? "q5_k" : "";
     }},
    {"IQ4_XS", "iq4_xs",
     [](int, const DecoderConfig& c) -> std::string_view {
       return shares_values(c) ? "q5_k" : "";
     }},
    {"Q3_K_L", "q3_k", always<'5'>, always<'5'>, always<'5'>},
    {"Q3_K_M", "q3_k",
     [](int layer, const DecoderConfig&) -> std::string_view {
       return layer < 2 ? "q5_k" : "q4_k";
     },
     [](int layer, const DecoderConfig& c) -> std::string_view {
       return layer < c.layers / 16 ? "q5_k" : "q4_k";
     },
     always<'4'>},
    {"Q3_K_S", "q3_k"},
    {"Q2_K", "q2_k",
     [](int, const DecoderConfig& c) -> std::string_view {
       return shares_values(c) ? "q4_k" : "q3_k";
     },
     always<'3'>, always<'3'>},
};

const MixtureRow& mixture(std::string_view name) {
  for (const MixtureRow& m : kMixtures) {
    if (m.name == name) return m;
  }
  throw invalid_argument(
      fmt::format("`type` {}: use one of {}", in_quotes(name), fmt::join(gguf_mixtures(), ", ")));
}

Choose choice_of(const MixtureRow& m, Role role) {
  if (role == Role::v || role == Role::qkv) return m.v;
  if (role == Role::down) return m.down;
  return role == Role::o ? m.o : nullptr;
}

// With eight experts the few keys and values that all share cost next to nothing.
constexpr int64_t kManyExperts = 8;

std::string_view mixed_scheme(const MixtureRow& m, const ParamSpec& p, const DecoderConfig& c) {
  const bool head = p.role == Role::lm_head || (c.tied && p.role == Role::token_embedding);
  if (head) return m.base == "int8:g32" ? m.base : "q6_k";
  if (p.layer < 0) return "";
  if (c.experts == kManyExperts && (p.role == Role::k || p.role == Role::v)) return "int8:g32";
  if (c.experts == kManyExperts && p.role == Role::o && parse_scheme(m.base).bits() <= 4)
    return "q5_k";
  const Choose choose = choice_of(m, p.role);
  return choose == nullptr ? "" : choose(p.layer, c);
}

}  // namespace

std::vector<std::string_view> gguf_mixtures() {
  std::vector<std::string_view> out;
  for (const MixtureRow& m : kMixtures) out.push_back(m.name);
  return out;
}

void use_mixture(std::string_view name, const DecoderConfig& config, QuantizeOptions& options) {
  const MixtureRow& m = mixture(name);
  options.scheme = parse_scheme(m.base);
  for (const ParamSpec& p : parameter_table(config)) {
    if (!p.is_matrix()) continue;
    const std::string_view scheme = mixed_scheme(m, p, config);
    if (!scheme.empty()) options.set.push_back({p.name, parse_scheme(scheme)});
    if (p.role == Role::token_embedding && scheme.empty())
      options.set.push_back({p.name, options.scheme});
  }
}

}  // namespace nibble
