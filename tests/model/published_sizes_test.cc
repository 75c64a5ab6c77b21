// The number of parameters of published models, as their makers' files count them, from the
// config.json that they publish.
#include <gtest/gtest.h>

#include "nibble/model/architecture.h"

namespace nibble {
namespace {

struct Published {
  const char *name, *keys;
  int64_t parameters;
};

const Published kPublished[] = {
    {"gpt2", R"("model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 12,
      "n_head": 12, "n_positions": 1024)",
     124'439'808},
    {"gpt2-xl", R"("model_type": "gpt2", "vocab_size": 50257, "n_embd": 1600, "n_layer": 48,
      "n_head": 25, "n_positions": 1024)",
     1'557'611'200},
    {"opt-125m", R"("model_type": "opt", "vocab_size": 50272, "hidden_size": 768, "ffn_dim": 3072,
      "num_hidden_layers": 12, "num_attention_heads": 12, "max_position_embeddings": 2048)",
     125'239'296},
    {"Llama-2-7b", R"("model_type": "llama", "vocab_size": 32000, "hidden_size": 4096,
      "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
      "max_position_embeddings": 4096)",
     6'738'415'616},
    {"Llama-3.2-1B", R"("model_type": "llama", "vocab_size": 128256, "hidden_size": 2048,
      "intermediate_size": 8192, "num_hidden_layers": 16, "num_attention_heads": 32,
      "num_key_value_heads": 8, "max_position_embeddings": 131072, "tie_word_embeddings": true)",
     1'235'814'400},
    {"SmolLM2-135M", R"("model_type": "llama", "vocab_size": 49152, "hidden_size": 576,
      "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9,
      "num_key_value_heads": 3, "max_position_embeddings": 8192, "tie_word_embeddings": true)",
     134'515'008},
    {"Mistral-7B", R"("model_type": "mistral", "vocab_size": 32000, "hidden_size": 4096,
      "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
      "num_key_value_heads": 8, "max_position_embeddings": 32768)",
     7'241'732'096},
    {"Qwen2.5-0.5B", R"("model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896,
      "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
      "num_key_value_heads": 2, "max_position_embeddings": 32768, "tie_word_embeddings": true)",
     494'032'768},
    {"Qwen3-0.6B", R"("model_type": "qwen3", "vocab_size": 151936, "hidden_size": 1024,
      "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16,
      "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40960,
      "tie_word_embeddings": true)",
     596'049'920},
    {"Mixtral-8x7B", R"("model_type": "mixtral", "vocab_size": 32000, "hidden_size": 4096,
      "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
      "num_key_value_heads": 8, "max_position_embeddings": 32768, "num_local_experts": 8,
      "num_experts_per_tok": 2)",
     46'702'792'704},
    {"gemma-2-2b", R"("model_type": "gemma2", "vocab_size": 256000, "hidden_size": 2304,
      "intermediate_size": 9216, "num_hidden_layers": 26, "num_attention_heads": 8,
      "num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 8192)",
     2'614'341'888},
    {"LFM2-350M", R"("model_type": "lfm2", "vocab_size": 65536, "hidden_size": 1024,
      "block_ff_dim": 6656, "block_multiple_of": 256, "block_ffn_dim_multiplier": 1.0,
      "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 8,
      "full_attn_idxs": [2, 5, 8, 10, 12, 14], "max_position_embeddings": 128000)",
     354'483'968}};

DecoderConfig config_of(const Published& p) {
  const JsonFields fields = JsonFields::parse("{" + std::string(p.keys) + "}");
  return architecture(fields.string("model_type")).read_config(fields);
}

TEST(PublishedSizes, AreCountedAsTheirMakersDo) {
  for (const Published& p : kPublished)
    EXPECT_EQ(parameter_count(config_of(p)), p.parameters) << p.name;
}

}  // namespace
}  // namespace nibble
