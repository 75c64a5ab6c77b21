// microGPT (Karpathy's 200-line microgpt.py, February 2026): RMSNorm without gain, one right after
// the embeddings and none at the end, learned positions, ReLU, no biases, untied head. Further keys
// say where a model differs (LayerNorm, gains, biases, GELU, a tied head): what GPT-2 has.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iterator>

#include "nibble/core/checked.h"
#include "nibble/model/architecture.h"

namespace nibble::micro_gpt {
namespace {

struct NameRow {
  Role role;
  std::string_view name;
};
constexpr NameRow kOutside[] = {{Role::token_embedding, "wte"},
                                {Role::position_embedding, "wpe"},
                                {Role::embedding_norm, "norm_e"},
                                {Role::final_norm, "norm_f"},
                                {Role::lm_head, "lm_head"}};
constexpr NameRow kInside[] = {
    {Role::attn_norm, "attn.norm"}, {Role::q, "attn.wq"},  {Role::k, "attn.wk"},
    {Role::v, "attn.wv"},           {Role::o, "attn.wo"},  {Role::mlp_norm, "mlp.norm"},
    {Role::gate, "mlp.gate"},       {Role::up, "mlp.fc1"}, {Role::down, "mlp.fc2"}};

std::string tensor_name(const ParamKey& key) {
  const std::string_view end = key.bias ? "bias" : "weight";
  for (const NameRow& r : kOutside) {
    if (r.role == key.role) return fmt::format("{}.{}", r.name, end);
  }
  for (const NameRow& r : kInside) {
    if (r.role == key.role) return fmt::format("layers.{}.{}.{}", key.layer, r.name, end);
  }
  NIBBLE_CHECK(false && "a role without a name");
  return {};
}

// Keys that are written only where they are true.
struct FlagRow {
  std::string_view key;
  bool DecoderConfig::*flag;
};
constexpr FlagRow kFlags[] = {
    {"norm_gain", &DecoderConfig::norm_gain}, {"norm_bias", &DecoderConfig::norm_bias},
    {"qkv_bias", &DecoderConfig::qkv_bias},   {"o_bias", &DecoderConfig::o_bias},
    {"mlp_bias", &DecoderConfig::mlp_bias},   {"tie_word_embeddings", &DecoderConfig::tied}};

constexpr std::string_view kNorms[] = {"rms", "layer"};  // in the order of NormKind
constexpr std::string_view kActivations[] = {"relu", "gelu_tanh", "gelu"};  // and of MlpKind

// The place of fields[key] in `names`; the first where the key is absent.
template <size_t N>
int choice(const JsonFields& fields, std::string_view key, const std::string_view (&names)[N]) {
  const std::string value = fields.string_or(key, std::string(names[0]));
  for (size_t i = 0; i < N; ++i) {
    if (names[i] == value) return static_cast<int>(i);
  }
  throw unsupported(fmt::format("{} is none of {}", in_quotes(value), fmt::join(names, ", ")))
      .at(fmt::format("key \"{}\"", key));
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c;
  c.architecture = "micro_gpt";
  c.vocab_size = f.integer("vocab_size");
  c.hidden_size = f.integer("n_embd");
  c.layers = f.integer("n_layer");
  c.heads = c.kv_heads = f.integer("n_head");
  c.context = f.integer("block_size");
  c.intermediate_size = f.integer_or("n_inner", saturating_mul(4, c.hidden_size));
  if (c.heads < 1 || c.hidden_size % c.heads != 0) {
    throw corrupt(fmt::format("{} heads do not divide n_embd {}", c.heads, c.hidden_size))
        .at("key \"n_head\"");
  }
  c.head_dim = c.hidden_size / c.heads;
  c.norm_eps = f.number_or("norm_eps", 1e-5);
  c.embedding_norm = f.boolean_or("embedding_norm", true);
  c.final_norm = f.boolean_or("final_norm", false);
  c.norm = static_cast<NormKind>(choice(f, "norm", kNorms));
  c.mlp = static_cast<MlpKind>(choice(f, "activation", kActivations));
  for (const FlagRow& r : kFlags) c.*r.flag = f.boolean_or(r.key, false);
  return c;
}

void write_config(const DecoderConfig& c, JsonWriter& out) {
  out.field("n_embd", c.hidden_size);
  out.field("n_layer", c.layers);
  out.field("n_head", c.heads);
  out.field("n_inner", c.intermediate_size);
  out.field("block_size", c.context);
  out.field("vocab_size", c.vocab_size);
  out.field("norm_eps", c.norm_eps);
  out.field("embedding_norm", c.embedding_norm);
  out.field("final_norm", c.final_norm);
  const auto norm = static_cast<size_t>(c.norm), activation = static_cast<size_t>(c.mlp);
  NIBBLE_CHECK(activation < std::size(kActivations));
  if (norm != 0) out.field("norm", kNorms[norm]);
  if (activation != 0) out.field("activation", kActivations[activation]);
  for (const FlagRow& r : kFlags) {
    if (c.*r.flag) out.field(r.key, true);
  }
}

}  // namespace

const Architecture& architecture() {
  static constexpr Architecture kMicroGpt{"micro_gpt", read_config, write_config, tensor_name,
                                          true};
  return kMicroGpt;
}

}  // namespace nibble::micro_gpt
