// microGPT (Karpathy's 200-line microgpt.py, February 2026): RMSNorm without gain, one right after
// the embeddings and none at the end, learned positions, ReLU, no biases, untied head. The `char`
// preset adds what GPT-2 has.
#include <fmt/format.h>

#include "nibble/model/architecture.h"

namespace nibble {
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

std::string tensor_name(Role role, int layer, bool bias) {
  const std::string_view end = bias ? "bias" : "weight";
  for (const NameRow& r : kOutside) {
    if (r.role == role) return fmt::format("{}.{}", r.name, end);
  }
  for (const NameRow& r : kInside) {
    if (r.role == role) return fmt::format("layers.{}.{}.{}", layer, r.name, end);
  }
  NIBBLE_CHECK(false && "a role without a name");
  return {};
}

DecoderConfig read_config(const JsonFields& f) {
  DecoderConfig c;
  c.architecture = "micro_gpt";
  c.vocab_size = f.integer("vocab_size");
  c.hidden_size = f.integer("n_embd");
  c.layers = f.integer("n_layer");
  c.heads = c.kv_heads = f.integer("n_head");
  c.context = f.integer("block_size");
  c.intermediate_size = f.integer_or("n_inner", 4 * c.hidden_size);
  if (c.heads < 1 || c.hidden_size % c.heads != 0) {
    throw corrupt(fmt::format("{} heads do not divide n_embd {}", c.heads, c.hidden_size))
        .at("key \"n_head\"");
  }
  c.head_dim = c.hidden_size / c.heads;
  c.norm_eps = f.number_or("norm_eps", 1e-5);
  c.embedding_norm = f.boolean_or("embedding_norm", true);
  c.final_norm = f.boolean_or("final_norm", false);
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
}

}  // namespace

const Architecture& micro_gpt_architecture() {
  static constexpr Architecture kMicroGpt{"micro_gpt", read_config, write_config, tensor_name,
                                          true};
  return kMicroGpt;
}

}  // namespace nibble
