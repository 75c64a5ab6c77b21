// What models need, worked out by hand for each kind of layer, and against loaded ones.
#include <gtest/gtest.h>

#include "nibble/eval/estimate.h"
#include "nibble/model/layer_plan.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

DecoderConfig config_of_keys(const std::string& type, const std::string& keys) {
  return architecture(type).read_config(JsonFields::parse("{" + keys + "}"));
}

// Six of its sixteen layers attend, positions in blocks of 16; the others keep two rows, and those
// that a pass is making, whatever the context.
TEST(EstimateByHand, OnlyLayersThatAttendHaveKeysAndValues) {
  const DecoderConfig lfm2 =
      config_of_keys("lfm2", R"("vocab_size": 65536, "hidden_size": 1024, "block_ff_dim": 6656,
        "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 8,
        "full_attn_idxs": [2, 5, 8, 10, 12, 14], "max_position_embeddings": 128000)");
  EXPECT_EQ(kv_bytes_per_token(lfm2, DType::f16), 6 * 2 * 8 * 64 * 2);
  EXPECT_EQ(kv_bytes_per_token(lfm2, DType::i8), 6 * 2 * 8 * (64 + 4));
  EXPECT_EQ(estimate(lfm2, parse_scheme("bf16"), {.kv = DType::f16, .context = 1000}).kv_bytes,
            6 * 2 * 8 * 64 * 2 * 1008 + 2 * 10 * 2 * 1024 * 4);
}

// Mixtral 8x7B: a token reads two of eight experts, the router in f32 as it is loaded.
TEST(EstimateByHand, ATokenReadsTheExpertsChosenForIt) {
  const DecoderConfig mixtral = config_of_keys(
      "mixtral", R"("vocab_size": 32000, "hidden_size": 4096, "intermediate_size": 14336,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
        "max_position_embeddings": 32768, "num_local_experts": 8, "num_experts_per_tok": 2)");
  const Estimate e = estimate(mixtral, parse_scheme("bf16"), {});
  const int64_t attention = 2 * 4096 * 4096 + 2 * 1024 * 4096, expert = int64_t{3} * 14336 * 4096,
                router = 8 * 4096, table = int64_t{32000} * 4096;
  EXPECT_EQ(e.weight_bytes, 2 * (32 * (attention + 2 * expert) + table) + 4 * 32 * router);
  const int64_t gains = 32 * 2 * 4096 + 4096;
  EXPECT_EQ(e.memory_bytes,
            2 * (32 * (attention + 8 * expert) + 2 * table) + 4 * (32 * router + gains));
}

// Sizes of which the packed layouts are made, so that nothing is filled up.
DecoderConfig whole_slabs(const std::string& type) {
  const std::string common = R"("vocab_size": 128, "max_position_embeddings": 64, )";
  if (type == "gpt2")
    return config_of_keys(type, common + R"("n_embd": 64, "n_layer": 2, "n_head": 2,
                                            "n_positions": 64)");
  if (type == "opt")
    return config_of_keys(type, common + R"("hidden_size": 64, "ffn_dim": 128,
                                            "num_hidden_layers": 2, "num_attention_heads": 2)");
  const std::string keys = common + R"("hidden_size": 64, "intermediate_size": 128,
    "block_auto_adjust_ff_dim": false, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 2, "head_dim": 32, "sliding_window": null)";
  if (type == "mixtral")
    return config_of_keys(type, keys + R"(, "num_local_experts": 8,
                                                                  "num_experts_per_tok": 2)");
  if (type == "gemma2") return config_of_keys(type, keys.substr(0, keys.rfind(',')));
  if (type != "lfm2") return config_of_keys(type, keys);
  return config_of_keys(type, keys + R"(, "layer_types": ["conv", "full_attention"])");
}

TEST(EstimateByHand, IsWhatTheLoadedModelReads) {
  for (const char* type : {"gpt2", "opt", "llama", "qwen2", "qwen3", "gemma2", "mixtral", "lfm2"}) {
    const DecoderConfig config = whole_slabs(type);
    const Decoder model = load_decoder(tiny_decoder(config, 3));
    const Estimate e = estimate(config, parse_scheme("f32"), {});
    // A router's 8 rows are packed as 64.
    const int64_t filled = type == std::string_view("mixtral") ? 2 * 56 * 64 * 4 : 0;
    EXPECT_NEAR(static_cast<double>(e.weight_bytes + filled),
                static_cast<double>(model.weight_bytes()),
                0.01 * static_cast<double>(e.weight_bytes))
        << type;
    const KvCache cache = model.make_cache(64);
    EXPECT_EQ(static_cast<int64_t>(cache.memory_bytes()), e.kv_bytes) << type;
  }
}

}  // namespace
}  // namespace nibble
