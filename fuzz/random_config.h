// A random config.json of any architecture: small sizes, every other setting from a list that goes
// to the edges of what it may be and beyond.
#pragma once

#include <string>
#include <vector>

#include "fuzz/bytes.h"
#include "nibble/model/architecture.h"

// The first value is what an ordinary model has; "" leaves the key out. Architectures read their
// own keys and pass over the others.
struct KeyRow {
  std::vector<const char*> keys, values;
};
inline const std::vector<KeyRow>& key_rows() {
  static const std::vector<KeyRow> kRows{
      {{"vocab_size"}, {"5", "1", "33", "64"}},
      {{"hidden_size", "n_embd"}, {"16", "8", "24", "32", "33"}},
      {{"num_hidden_layers", "n_layer"}, {"2", "1", "3"}},
      {{"num_attention_heads", "n_head"}, {"2", "1", "4", "3"}},
      {{"num_key_value_heads"}, {"2", "1", "4", ""}},
      {{"head_dim"}, {"8", "", "4", "2", "18", "7"}},
      {{"intermediate_size", "ffn_dim", "n_inner"}, {"24", "1", "32", "65"}},
      {{"max_position_embeddings", "n_positions", "block_size"}, {"16", "1", "7", "33"}},
      {{"rms_norm_eps", "norm_eps", "layer_norm_epsilon"}, {"1e-5", "1e-300", "1e300", "1.0"}},
      {{"rope_theta"}, {"10000.0", "1.0", "1e300", "1e-300", ""}},
      {{"rope_scaling"},
       {"", R"({"rope_type":"linear","factor":2.0})", R"({"rope_type":"linear","factor":1e-300})",
        R"({"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,
"original_max_position_embeddings":8})",
        R"({"rope_type":"llama3","factor":1e300,"low_freq_factor":1e-300,"high_freq_factor":1e300,
"original_max_position_embeddings":1})",
        R"({"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":8})",
        R"({"rope_type":"yarn","factor":1e300,"beta_fast":1e-300,"beta_slow":1e300,"mscale":1e300,
"mscale_all_dim":1e-300,"truncate":false})"}},
      {{"tie_word_embeddings"}, {"false", "true", ""}},
      {{"layer_types"},
       {"", R"(["full_attention","sliding_attention"])", R"(["conv","full_attention"])",
        R"(["conv"])", R"(["sliding_attention","sliding_attention","full_attention"])"}},
      {{"sliding_window"}, {"null", "3", "1", "0", "1000000"}},
      {{"use_sliding_window"}, {"false", "true"}},
      {{"max_window_layers"}, {"1", "0", "28"}},
      {{"attention_bias", "qkv_bias", "o_bias", "enable_bias", "conv_bias"}, {"", "true", "false"}},
      {{"num_local_experts"}, {"4", "1", "3"}},
      {{"num_experts_per_tok"}, {"2", "1", "4"}},
      {{"conv_L_cache"}, {"3", "1", "7", "64"}},
      {{"block_auto_adjust_ff_dim"}, {"false", "true"}},
      {{"block_ffn_dim_multiplier"}, {"", "0.5", "1e300", "-1.0"}},
      {{"block_multiple_of"}, {"8", "1", "2147483648", ""}},
      {{"query_pre_attn_scalar"}, {"16", "1e-300", "1e300", "0", "-1"}},
      {{"attn_logit_softcapping"}, {"50.0", "null", "1e-300", "1e300", "-1.0"}},
      {{"final_logit_softcapping"}, {"30.0", "null", "1e-300", "1e300"}},
      {{"dtype"}, {"", R"("bfloat16")"}},
      {{"norm"}, {"", R"("layer")"}},
      {{"activation"}, {"", R"("gelu")", R"("gelu_tanh")"}},
      {{"activation_function"}, {R"("gelu_new")", R"("relu")", R"("gelu")"}},
      {{"norm_gain", "final_norm", "mlp_bias"}, {"", "true"}},
      {{"norm_bias"}, {"", "true"}},
      {{"embedding_norm"}, {"", "false"}}};
  return kRows;
}

/// Reads one byte for the architecture and one for each row.
inline std::string random_config(Bytes& in) {
  const auto names = nibble::architecture_names();
  std::string out = "{\"model_type\":\"" + std::string(names[in.next() % names.size()]) + '"';
  for (const KeyRow& row : key_rows()) {
    const std::string value = row.values[in.next() % row.values.size()];
    if (value.empty()) continue;
    for (const char* key : row.keys) out += ",\"" + std::string(key) + "\":" + value;
  }
  return out + '}';
}
