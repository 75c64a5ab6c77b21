// Gemma 4: what its config says of heads by kind of layer, and what is not run yet.
#include <gtest/gtest.h>

#include "nibble/model/layer.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

DecoderConfig gemma4_with(const std::string& keys) {
  return architecture("gemma4_text")
      .read_config(JsonFields::parse(
          R"({"model_type": "gemma4_text", "vocab_size": 50, "hidden_size": 16,
              "intermediate_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
              "num_key_value_heads": 2, "head_dim": 4, "max_position_embeddings": 64,
              "layer_types": ["full_attention", "sliding_attention", "sliding_attention"], )" +
          keys + "}"));
}

const std::string kNoEmbeddings = R"("hidden_size_per_layer_input": 0)";

TEST(Gemma4, HeadsOfFullLayersAreTheirOwn) {
  const DecoderConfig c =
      gemma4_with(kNoEmbeddings + R"(, "global_head_dim": 8, "attention_k_eq_v": true,
                                            "num_global_key_value_heads": 1)");
  EXPECT_EQ(c.layer_kinds, (std::vector{LayerKind::full, LayerKind::window, LayerKind::full}))
      << "the last layer sees all";
  EXPECT_EQ(heads_of(c, 0), (HeadsConfig{1, 8}));
  EXPECT_EQ(heads_of(c, 1), (HeadsConfig{2, 4}));
  const CacheShape cache = cache_shape(c);
  ASSERT_EQ(cache.attention.size(), 3u);
  EXPECT_EQ(cache.attention[0], (AttentionShape{4, 1, 8}));
  EXPECT_EQ(cache.attention[1], (AttentionShape{4, 2, 4}));
  EXPECT_EQ(c.sliding_window, 512);
  EXPECT_EQ(c.rope.scaling, RopeScaling::proportional);
  EXPECT_EQ(c.window_rope->theta, 1e4);
  const auto values_of = [&](int layer) {
    return find_parameter(parameter_table(c), {Role::v, layer}) != nullptr;
  };
  EXPECT_FALSE(values_of(0)) << "its values are its keys";
  EXPECT_TRUE(values_of(1));
}

TEST(Gemma4, OtherKeyHeadsOnlyWhereValuesAreKeys) {
  const DecoderConfig c = gemma4_with(kNoEmbeddings + R"(, "num_global_key_value_heads": 1)");
  EXPECT_EQ(heads_of(c, 0), (HeadsConfig{2, 512}));
}

TEST(Gemma4, SingleLayersMaySayIt) {
  const DecoderConfig c =
      gemma4_with(kNoEmbeddings + R"(, "per_layer_config": {"0": {"head_dim": 8},
                                                                  "2": {"head_dim": 8}})");
  EXPECT_EQ(heads_of(c, 2), (HeadsConfig{2, 8}));
  for (const char* other : {R"({"0": {"head_dim": 8}})", R"({"1": {"head_dim": 8}})",
                            R"({"0": {"sliding_window": 3}})"}) {
    test::expect_error(ErrorKind::unsupported, "per_layer_config",
                       [&] { gemma4_with(kNoEmbeddings + R"(, "per_layer_config": )" + other); });
  }
}

TEST(Gemma4, WhatIsNotRunYetIsRefusedByName) {
  test::expect_error(ErrorKind::unsupported, "hidden_size_per_layer_input",
                     [] { gemma4_with(R"("num_kv_shared_layers": 0)"); });
  test::expect_error(ErrorKind::unsupported, "num_kv_shared_layers",
                     [] { gemma4_with(kNoEmbeddings + R"(, "num_kv_shared_layers": 1)"); });
  test::expect_error(ErrorKind::unsupported, "use_bidirectional_attention", [] {
    gemma4_with(kNoEmbeddings + R"(, "use_bidirectional_attention": "all")");
  });
  EXPECT_NO_THROW(gemma4_with(kNoEmbeddings + R"(, "use_bidirectional_attention": "vision")"));
}

}  // namespace
}  // namespace nibble
