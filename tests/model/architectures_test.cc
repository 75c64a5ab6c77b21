// config.json of Hugging Face architectures: both spellings, what is written comes back, what
// cannot be run is refused by name.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "nibble/core/error.h"
#include "nibble/model/architecture.h"
#include "nibble/model/config_file.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;

constexpr const char* kLlama = R"("model_type": "llama", "vocab_size": 50, "hidden_size": 16,
  "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
  "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-6)";
constexpr const char* kGpt2 = R"("model_type": "gpt2", "vocab_size": 50, "n_embd": 16, "n_layer": 2,
  "n_head": 4)";
constexpr const char* kOpt = R"("model_type": "opt", "vocab_size": 50, "hidden_size": 16,
  "ffn_dim": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64)";

// The config of `keys` with `more` behind; where `type` is given it is read as that architecture.
DecoderConfig read(const std::string& keys, const std::string& more = "", std::string type = "") {
  const JsonFields fields = JsonFields::parse("{" + keys + (more.empty() ? "" : ", " + more) + "}");
  if (type.empty()) type = fields.string("model_type");
  DecoderConfig config = architecture(type).read_config(fields);
  validate(config);
  return config;
}

DecoderConfig round_trip(const DecoderConfig& c) {
  JsonWriter out;
  out.begin_object();
  architecture(c.architecture).write_config(c, out);
  out.end_object();
  return architecture(c.architecture).read_config(JsonFields::parse(out.finish()));
}

void refuses(std::string_view words, const std::string& keys, const std::string& more,
             const std::string& type = "") {
  expect_error(test::bad_file(), words, [&] { read(keys, more, type); });
}

TEST(Architectures, RopeInBothSpellings) {
  const std::string l3 = R"("factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32})";
  const DecoderConfig modern =
      read(kLlama, R"("rope_parameters": {"rope_theta": 5e5, "rope_type": "llama3", )" + l3);
  EXPECT_EQ(modern.rope.scaling, RopeScaling::llama3);
  EXPECT_EQ(modern.rope.theta, 5e5);
  EXPECT_EQ(modern.rope.factor, 8.0);
  EXPECT_EQ(modern.rope.original_context, 32);
  const std::string theta = R"("rope_theta": 500000, "rope_scaling": )";
  EXPECT_EQ(read(kLlama, theta + R"({"rope_type": "llama3", )" + l3), modern);
  EXPECT_EQ(read(kLlama, theta + R"({"type": "llama3", )" + l3), modern);
  const DecoderConfig plain = read(kLlama, R"("rope_theta": 500000, "rope_scaling": null)");
  EXPECT_EQ(plain.rope.scaling, RopeScaling::none);
  EXPECT_EQ(read(kLlama, R"("rope_parameters": {"rope_theta": 5e5, "rope_type": "default"})"),
            plain);
  EXPECT_EQ(read(kLlama).rope.theta, 10000.0);
  EXPECT_EQ(read(kLlama, R"("rope_scaling": {"type": "linear", "factor": 2})").rope.factor, 2.0);
  // Without a length of its own, yarn stretches the context the config names.
  const auto yarn = read(kLlama, R"("rope_scaling": {"type": "yarn", "factor": 4.0})");
  EXPECT_EQ(yarn.rope.original_context, 64);
}

TEST(Architectures, RefusesRopeItCannotTurn) {
  refuses("\"ntk-by-parts\"", kLlama, R"("rope_scaling": {"type": "ntk-by-parts", "factor": 2.0})");
  refuses("original_max_position_embeddings", kLlama,
          R"("rope_scaling": {"type": "dynamic", "factor": 2.0,
             "original_max_position_embeddings": 4})");
  refuses("short_factor", kLlama, R"("rope_parameters": {"rope_type": "longrope", "factor": 2.0})");
  refuses("rope_theta", kLlama, R"("rope_theta": 0)");
  refuses("rope_theta", kLlama, R"("rope_theta": -1.0)");
  refuses("rope_theta", kLlama, R"("rope_theta": "1e4")");
  refuses("factor", kLlama, R"("rope_scaling": {"type": "linear"})");
  refuses("factor", kLlama, R"("rope_scaling": {"type": "linear", "factor": 0})");
  refuses("high_freq_factor", kLlama,
          R"("rope_scaling": {"type": "llama3", "factor": 2, "low_freq_factor": 4,
             "high_freq_factor": 1})");
  refuses("partial_rotary_factor", kLlama, R"("rope_parameters": {"partial_rotary_factor": 0.5})");
  refuses("head_dim", kLlama, R"("head_dim": 5)");
}

TEST(Architectures, WhatIsWrittenComesBack) {
  const std::string yarn = R"("rope_scaling": {"type": "yarn", "factor": 4.0, "beta_fast": 16,
    "attention_factor": 1.5, "truncate": false, "mscale": 1.0, "mscale_all_dim": 0.5})";
  const std::string window =
      R"("use_sliding_window": true, "sliding_window": 5, "max_window_layers": 1)";
  const DecoderConfig configs[] = {
      read(kLlama, yarn),
      read(kLlama, R"("attention_bias": true, "mlp_bias": true, "head_dim": 6)"),
      read(kLlama, R"("tie_word_embeddings": true)"),
      read(kLlama, R"("rope_scaling": {"type": "linear", "factor": 2})"),
      read(kLlama, R"("sliding_window": 7)", "mistral"),
      read(kLlama, R"("sliding_window": null)", "mistral"),
      read(kLlama, "", "mistral"),
      read(kLlama, "", "qwen2"),
      read(kLlama, window, "qwen2"),
      read(kLlama, window, "qwen3"),
      read(kLlama, R"("head_dim": 8)", "qwen3"),
      read(kGpt2, R"("n_positions": 32, "n_inner": null)"),
      read(kGpt2, R"("n_ctx": 32, "n_inner": 20, "activation_function": "relu")"),
      tiny_decoder_config("mixtral"),
      tiny_decoder_config("gemma2"),
      tiny_decoder_config("lfm2"),
      read(kOpt),
      read(kOpt, R"("enable_bias": false, "tie_word_embeddings": false)")};
  for (const DecoderConfig& c : configs) EXPECT_EQ(round_trip(c), c) << c.architecture;
}

TEST(Architectures, MistralWindowIsTransformersDefaultWhereAbsent) {
  EXPECT_EQ(read(kLlama, "", "mistral").sliding_window, 4096);
  EXPECT_EQ(read(kLlama, R"("sliding_window": null)", "mistral").sliding_window, 0);
}

TEST(Architectures, LayerTypesMustAgree) {
  const std::string types = R"("layer_types": ["full_attention", "sliding_attention"])";
  refuses("layer_types", kLlama, types, "qwen2");
  const std::string window =
      R"("use_sliding_window": true, "sliding_window": 5, "max_window_layers": 1, )";
  EXPECT_EQ(read(kLlama, window + types, "qwen2").layer_kinds,
            (std::vector{LayerKind::full, LayerKind::window}));
}

// Mistral's and Mixtral's layers are all of one kind.
TEST(Architectures, LayerTypesMustAgreeWithTheWindow) {
  const std::string mixtral =
      std::string(kLlama) + R"(, "num_local_experts": 4, "num_experts_per_tok": 2)";
  const std::string full = R"("layer_types": ["full_attention", "full_attention"])",
                    window = R"("layer_types": ["sliding_attention", "sliding_attention"])",
                    mixed = R"("layer_types": ["sliding_attention", "full_attention"])";
  for (const auto& [keys, type] : {std::pair<std::string, std::string>(kLlama, "mistral"),
                                   std::pair<std::string, std::string>(mixtral, "mixtral")}) {
    const std::string none = R"("sliding_window": null, )", five = R"("sliding_window": 5, )";
    EXPECT_EQ(read(keys, none + full, type).sliding_window, 0);
    EXPECT_EQ(read(keys, five + window, type).sliding_window, 5);
    refuses("layer 0 is \"full_attention\"; by sliding_window it is sliding_attention", keys,
            five + full, type);
    refuses("layer 0 is \"sliding_attention\"; by sliding_window it is full_attention", keys,
            none + window, type);
    refuses("layer 1 is \"full_attention\"", keys, five + mixed, type);
  }
}

TEST(Architectures, ValuesOfTheNormNameTheirKey) {
  const auto named = [](const std::string& key, const std::string& keys, const std::string& more,
                        const std::string& type) {
    refuses("key \"" + key + "\": must be a positive number (got 0)", keys, more, type);
  };
  std::string llama = kLlama;
  llama.replace(llama.find("1e-6"), 4, "0");
  named("rms_norm_eps", llama, "", "llama");
  named("rms_norm_eps", llama, "", "qwen3");
  named("layer_norm_epsilon", kGpt2, R"("n_positions": 8, "layer_norm_epsilon": 0)", "gpt2");
  named("norm_eps", kLlama, R"("norm_eps": 0)", "lfm2");
  named("query_pre_attn_scalar", kLlama, R"("query_pre_attn_scalar": 0)", "gemma2");
}

// Files from before transformers had LFM2 call three settings otherwise, and it takes these.
TEST(Architectures, TheOldNamesOfLfm2Count) {
  const std::string keys = R"("vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "block_auto_adjust_ff_dim": false)";
  const auto lfm2 = [&](const std::string& more) { return read(keys, more, "lfm2"); };
  EXPECT_EQ(lfm2(R"("block_ff_dim": 24)").intermediate_size, 24);
  EXPECT_EQ(lfm2(R"("block_ff_dim": 24, "intermediate_size": 32)").intermediate_size, 24);
  EXPECT_EQ(lfm2(R"("block_ff_dim": null, "intermediate_size": 32)").intermediate_size, 32);
  const std::string width = R"("intermediate_size": 24, )";
  EXPECT_EQ(lfm2(width + R"("theta": 5e5)").rope.theta, 5e5);
  EXPECT_EQ(lfm2(width + R"("theta": 5e5, "rope_theta": 500000)").rope.theta, 5e5);
  EXPECT_FALSE(lfm2(width + R"("tie_embedding": false)").tied);
  EXPECT_TRUE(lfm2(width + R"("tie_embedding": true, "tie_word_embeddings": true)").tied);
  refuses("key \"theta\": is 10000 and rope_theta is 500000", keys,
          width + R"("theta": 1e4, "rope_theta": 5e5)", "lfm2");
  refuses("key \"tie_embedding\": is false and tie_word_embeddings is true", keys,
          width + R"("tie_embedding": false, "tie_word_embeddings": true)", "lfm2");
  refuses("key \"intermediate_size\": missing", keys, "", "lfm2");
}

TEST(Architectures, TheMultiplierOfLfm2sWidthIsOneThatAWidthComesOf) {
  const auto lfm2 = [](const std::string& multiplier) {
    const std::string keys = R"("block_multiple_of": 8, "block_ffn_dim_multiplier": )";
    return read(kLlama, keys + multiplier, "lfm2");
  };
  // Two thirds of 24, times the multiplier, in eights.
  EXPECT_EQ(lfm2("1.5").intermediate_size, 24);
  EXPECT_EQ(lfm2("1.6").intermediate_size, 32);
  EXPECT_EQ(lfm2("null").intermediate_size, 16);
  for (const char* value : {"0", "-1.0", "1e10", "1e300"})
    expect_error(ErrorKind::corrupt, "key \"block_ffn_dim_multiplier\"", [&] { lfm2(value); });
}

TEST(Architectures, RefusesValuesNoDecoderHas) {
  const auto with = [](std::string keys, const std::string& from, const std::string& to) {
    const size_t at = keys.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return keys.replace(at, from.size(), to);
  };
  const std::string layers = R"("num_hidden_layers": )";
  for (const char* value : {"\"12\"", "1e9", "1000000000", "-1", "0", "null", "2.5"})
    refuses("num_hidden_layers", with(kLlama, layers + "2", layers + value), "");
  for (const char* value : {"0", "-4", "3", "100000"})
    refuses("heads", with(kLlama, "heads\": 4", std::string("heads\": ") + value), "");
  for (const char* value : {"0", "3", "8", "-1"}) {
    refuses("num_key_value_heads",
            with(kLlama, "value_heads\": 2", std::string("value_heads\": ") + value), "");
  }
  for (const char* value : {"0", "-1", "-1e-6", "\"1e-6\""})
    refuses("eps", with(kLlama, "1e-6", value), "");
  for (const char* value : {"0", "-16", "9000000000000000000", "true"})
    refuses("\"", with(kLlama, "hidden_size\": 16", std::string("hidden_size\": ") + value), "");
  refuses("hidden_act", kLlama, R"("hidden_act": "gelu")");
  refuses("activation_function", kGpt2, R"("n_positions": 32, "activation_function": "silu")");
  refuses("n_embd", with(kGpt2, "16", "9000000000000000000"), R"("n_positions": 8)");
  refuses("n_ctx", kGpt2, R"("n_positions": 32, "n_ctx": 64)");
  refuses("n_ctx", kGpt2, "");
}

TEST(Architectures, RefusesVariantsItCannotRun) {
  refuses("scale_attn_by_inverse_layer_idx", kGpt2,
          R"("n_positions": 8, "scale_attn_by_inverse_layer_idx": true)");
  refuses("scale_attn_weights", kGpt2, R"("n_positions": 8, "scale_attn_weights": false)");
  refuses("do_layer_norm_before", kOpt, R"("do_layer_norm_before": false)");
  refuses("word_embed_proj_dim", kOpt, R"("word_embed_proj_dim": 8)");
}

TEST(Architectures, UnknownOnesAreToldWhatThereIs) {
  for (const char* type : {"gemma9", "phi1", "", "GPT2"}) {
    for (const std::string_view known : architecture_names())
      expect_error(ErrorKind::unsupported, std::string(known), [&] { architecture(type); });
  }
}

// Whatever stands at a key: a config, or an error that says where.
class AnyValue {
 public:
  size_t refused = 0, read = 0;

  void try_config(const nlohmann::json& config) {
    SCOPED_TRACE(config.dump());
    std::vector<std::string> warnings;
    try {
      const ModelConfig model = read_config(JsonFields::parse(config.dump()), warnings);
      const auto& c = std::get<DecoderConfig>(model);
      // Large ones are only read.
      if (c.layers < 100 && c.experts < 100) {
        EXPECT_FALSE(parameter_table(c).empty());
        JsonWriter out;
        out.begin_object();
        architecture(c.architecture).write_config(c, out);
        EXPECT_FALSE(out.end_object().finish().empty());
      }
      ++read;
    } catch (const Error& e) {
      EXPECT_FALSE(e.where().empty()) << e.what();
      ++refused;
    }
  }

  void try_key(nlohmann::json config, const std::string& key) {
    const nlohmann::json values[] = {
        0,    -1,     1'000'000'000'000,       INT64_MAX, 1.5, 1e300, 1e-300, "x", "", nullptr,
        true, {1, 2}, nlohmann::json::object()};
    const nlohmann::json value = config.at(key);
    config.erase(key);
    try_config(config);
    for (const nlohmann::json& v : values) {
      config[key] = v;
      try_config(config);
      if (!value.is_object()) continue;
      for (const auto& [inside, old] : value.items()) {
        config[key] = value;
        config[key][inside] = v;
        try_config(config);
      }
    }
  }
};

TEST(Architectures, AnyValueOfAnyKeyIsReadOrRefused) {
  AnyValue all;
  for (const std::string_view type : architecture_names()) {
    if (type == "micro_gpt") continue;
    const auto whole = nlohmann::json::parse(tiny_decoder_json(std::string(type)));
    for (const auto& [key, value] : whole.items()) {
      if (key != "model_type") all.try_key(whole, key);
    }
  }
  EXPECT_GT(all.refused, 1000U);
  EXPECT_GT(all.read, 500U);
}

// Settings that published files of a family have, and the models that would need another program.
TEST(Architectures, SettingsThatWouldComputeSomethingElseAreRefused) {
  const struct {
    const char *type, *key;
    nlohmann::json usual, other;
  } rows[] = {{"glm4_moe", "scoring_func", "sigmoid", "softmax"},
              {"glm4_moe", "topk_method", "noaux_tc", "greedy"},
              {"glm4_moe", "moe_layer_freq", 1, 2},
              {"glm4_moe", "rope_interleave", false, true},
              {"deepseek_v2", "scoring_func", "softmax", "sigmoid"},
              {"deepseek_v2", "topk_method", "greedy", "noaux_tc"},
              {"deepseek_v2", "norm_topk_prob", false, true},
              {"deepseek_v2", "mlp_bias", false, true},
              {"deepseek_v2", "rope_interleave", true, false},
              {"deepseek_v3", "scoring_func", "sigmoid", "softmax"},
              {"deepseek_v3", "topk_method", "noaux_tc", "group_limited_greedy"},
              {"deepseek_v3", "qk_head_dim", 7, 8},
              {"glm4_moe_lite", "num_key_value_heads", 4, 2},
              {"qwen3_5_text", "attn_output_gate", true, false},
              {"qwen3_next", "attn_output_gate", true, false},
              {"hunyuan_v1_dense", "use_qk_norm", true, false},
              {"hunyuan_v1_dense", "use_cla", false, true},
              {"hunyuan_v1_dense", "attention_head_dim", 4, 8},
              {"cohere2", "use_parallel_block", true, false},
              {"cohere2", "use_qk_norm", false, true},
              {"cohere2", "rotary_pct", 1.0, 0.5},
              {"cohere2", "position_embedding_type", "rope_gptj", "alibi"},
              {"starcoder2", "norm_type", "layer_norm", "rms_norm"},
              {"granitemoehybrid", "layer_types", {"mamba", "attention"}, {"mamba", "conv"}},
              {"nemotron_h", "moe_latent_size", nullptr, 8},
              {"nemotron_h", "mlp_bias", false, true},
              {"nemotron_h", "mamba_hidden_act", "silu", "gelu"},
              {"nemotron_h", "sliding_window", nullptr, 8},
              {"ernie4_5_moe", "moe_norm_min", 1e-12, 0.5}};
  for (const auto& row : rows) {
    auto config = nlohmann::json::parse(tiny_decoder_json(row.type));
    std::vector<std::string> warnings;
    config[row.key] = row.usual;
    const auto read = [&] { read_config(JsonFields::parse(config.dump()), warnings); };
    EXPECT_NO_THROW(read()) << row.type << " " << row.key;
    EXPECT_TRUE(warnings.empty()) << row.key;
    config[row.key] = row.other;
    try {
      read();
      ADD_FAILURE() << row.type << " " << row.key;
    } catch (const Error& e) {
      EXPECT_NE(e.where().find(row.key), std::string::npos) << e.what();
    }
  }
}

// What is written is the same config.
TEST(Architectures, EveryOneIsWrittenAsItWasRead) {
  for (const std::string_view type : architecture_names()) {
    if (type == "micro_gpt") continue;
    const DecoderConfig c = tiny_decoder_config(std::string(type));
    JsonWriter out;
    out.begin_object();
    architecture(type).write_config(c, out);
    const std::string text = out.end_object().finish();
    EXPECT_EQ(architecture(type).read_config(JsonFields::parse(text)), c) << text;
  }
}

TEST(Architectures, NamesInTheTableAreUnique) {
  for (const std::string_view name : architecture_names()) {
    const DecoderConfig c = tiny_decoder_config(std::string(name));
    std::vector<std::string> names;
    for (const ParamSpec& p : parameter_table(c)) names.push_back(p.name);
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end()) << name;
  }
}

}  // namespace
}  // namespace nibble
