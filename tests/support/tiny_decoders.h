// A small random decoder of every architecture, for tests of what must hold for all of them.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "nibble/model/architecture.h"
#include "tests/support/tiny_model.h"

namespace nibble {

inline std::string tiny_decoder_keys(const std::string& type) {
  if (type == "mixtral") return R"("num_local_experts": 4, "num_experts_per_tok": 2})";
  if (type != "gemma2") return R"("sliding_window": null})";
  return R"("head_dim": 4, "query_pre_attn_scalar": 5, "attn_logit_softcapping": 2.0,
            "final_logit_softcapping": 3.0, "sliding_window": 6})";
}

inline DecoderConfig tiny_decoder_config(const std::string& type) {
  const std::string common = R"({"model_type": ")" + type + R"(", "vocab_size": 50, )";
  std::string keys;
  if (type == "gpt2")
    keys = R"("n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64})";
  else if (type == "opt")
    keys = R"("hidden_size": 16, "ffn_dim": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
              "max_position_embeddings": 64})";
  else if (type == "lfm2")
    keys = R"("hidden_size": 16, "intermediate_size": 24, "block_auto_adjust_ff_dim": false,
              "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
              "max_position_embeddings": 64, "tie_word_embeddings": false,
              "layer_types": ["conv", "full_attention"]})";
  else
    keys = R"("hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
              "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
              "rms_norm_eps": 1e-6, "tie_word_embeddings": false, )" +
           tiny_decoder_keys(type);
  if (type != "micro_gpt") return architecture(type).read_config(JsonFields::parse(common + keys));
  return tiny_config(CharTokenizer::from_text(kTinyText, true));
}

/// Random weights, gains around 1, so that no norm hides what is in front of it.
inline Model tiny_decoder(const DecoderConfig& config, uint64_t seed) {
  TensorMap weights = random_weights(config, seed, 0.3);
  for (const ParamSpec& p : parameter_table(config)) {
    if (p.shape.rank() != 1 || p.bias) continue;
    for (float& v : weights.at(p.name).mutable_data<float>()) v += 1;
  }
  return in_memory(config, std::move(weights), CharTokenizer::from_text(kTinyText, true));
}

inline std::vector<float> logits_of_tokens(const Model& model, const std::vector<int32_t>& ids) {
  const Decoder decoder = load_decoder(model);
  KvCache cache = decoder.make_cache(static_cast<int64_t>(ids.size()));
  return decoder.forward(ids, cache, Decoder::Logits::all, Exec{});
}

/// A model in memory as a folder, its matrices in f32. Returns `folder`.
inline std::string write_tiny_decoder(const Model& model, const std::string& folder) {
  std::vector<WritableParameter> parameters;
  for (const ParamSpec& p : parameter_table(model.config))
    parameters.push_back(
        {p, std::nullopt, DType::f32, [&model, p] { return load_weight(model, p); }});
  std::filesystem::create_directories(folder);
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  write_model(folder, model.config, parameters, &tokenizer);
  return folder;
}

/// A Llama whose widths are whole blocks of 256 inputs.
inline DecoderConfig blocky_decoder_config(int64_t layers) {
  DecoderConfig c = tiny_decoder_config("llama");
  c.layers = layers;
  c.hidden_size = c.intermediate_size = 256;
  c.heads = 4;
  c.kv_heads = 2;
  c.head_dim = 64;
  c.tied = false;
  return c;
}

}  // namespace nibble
