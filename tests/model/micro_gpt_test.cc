#include <gtest/gtest.h>

#include "nibble/core/error.h"
#include "nibble/model/architecture.h"

namespace nibble {
namespace {

DecoderConfig written_and_read(const DecoderConfig& c) {
  JsonWriter out;
  out.begin_object();
  architecture("micro_gpt").write_config(c, out);
  out.end_object();
  return architecture("micro_gpt").read_config(JsonFields::parse(out.finish()));
}

DecoderConfig base() {
  DecoderConfig c;
  c.vocab_size = 27;
  c.hidden_size = 24;
  c.layers = 2;
  c.heads = c.kv_heads = 3;
  c.head_dim = 8;
  c.intermediate_size = 50;
  c.context = 16;
  c.embedding_norm = true;
  return c;
}

TEST(MicroGptConfig, RoundTrips) {
  EXPECT_EQ(written_and_read(base()), base());
  for (bool DecoderConfig::*flag :
       {&DecoderConfig::norm_gain, &DecoderConfig::norm_bias, &DecoderConfig::qkv_bias,
        &DecoderConfig::o_bias, &DecoderConfig::mlp_bias, &DecoderConfig::tied,
        &DecoderConfig::final_norm, &DecoderConfig::embedding_norm}) {
    DecoderConfig c = base();
    c.*flag = !(c.*flag);
    EXPECT_EQ(written_and_read(c), c);
  }
  for (MlpKind mlp : {MlpKind::gelu_tanh, MlpKind::gelu}) {
    DecoderConfig c = base();
    c.mlp = mlp;
    c.norm = NormKind::layer;
    EXPECT_EQ(written_and_read(c), c);
  }
}

TEST(MicroGptConfig, RefusesKindsItDoesNotKnow) {
  const auto read = [](const char* extra) {
    const std::string text =
        std::string(
            R"({"vocab_size": 3, "n_embd": 4, "n_layer": 1, "n_head": 1, "block_size": 8)") +
        extra + "}";
    return architecture("micro_gpt").read_config(JsonFields::parse(text));
  };
  EXPECT_EQ(read("").norm, NormKind::rms);
  EXPECT_THROW(read(R"(, "norm": "batch")"), Error);
  EXPECT_THROW(read(R"(, "activation": "swish")"), Error);
  EXPECT_THROW(read(R"(, "tie_word_embeddings": "yes")"), Error);
}

}  // namespace
}  // namespace nibble
