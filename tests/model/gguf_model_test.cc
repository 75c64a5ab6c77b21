// A GGUF file gives the model that it was made of: the same config, weights and logits.
#include "tests/support/gguf_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "nibble/core/float_formats.h"
#include "nibble/model/gguf_companions.h"
#include "nibble/model/model.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;
using test::GgufBytes;
using test::GgufOfModel;

const std::vector<int32_t> kGgufIds{3, 1, 18, 7, 7, 2, 11, 4, 9, 0};

// The tiny decoder of an architecture, but for what GGUF cannot say.
DecoderConfig tiny_gguf_config(const std::string& type) {
  DecoderConfig c = tiny_decoder_config(type);
  if (type == "gemma2") c.attention_scale = 1 / std::sqrt(static_cast<double>(c.head_dim));
  if (type != "mistral") return c;
  c.sliding_window = 6;
  c.layer_kinds.assign(static_cast<size_t>(c.layers), LayerKind::window);
  return c;
}

class GgufModels : public testing::Test {
 protected:
  Model opened(const std::string& bytes) {
    test::put_file(path_, bytes);
    return open_model(path_);
  }
  void gives_the_same(const DecoderConfig& config) {
    const Model model = tiny_decoder(config, 5);
    const Model back = opened(test::gguf_bytes_of(model));
    EXPECT_EQ(back.decoder_config(), config);
    EXPECT_TRUE(back.warnings.empty()) << back.warnings.front();
    EXPECT_EQ(logits_of_tokens(back, kGgufIds), logits_of_tokens(model, kGgufIds));
  }
  test::TempFolder folder_;
  std::string path_ = folder_ / "model.gguf";
};

class GgufArchitectures : public GgufModels, public testing::WithParamInterface<const char*> {};

TEST_P(GgufArchitectures, GiveTheModelThatTheyWereMadeOf) {
  gives_the_same(tiny_gguf_config(GetParam()));
}

TEST_P(GgufArchitectures, WithATiedHead) {
  DecoderConfig c = tiny_gguf_config(GetParam());
  c.tied = !c.tied;
  gives_the_same(c);
}

TEST_P(GgufArchitectures, KeepTheirWeightsInTheTypesOfTheFile) {
  const Model model = tiny_decoder(tiny_gguf_config(GetParam()), 5);
  for (const auto& [dtype, id] : {std::pair(DType::f16, 1u), {DType::bf16, 30u}}) {
    const auto encode = [&](const ParamSpec& p) {
      const Tensor t = convert(model.weights->get(p.name).plain(), dtype);
      const auto* bytes = reinterpret_cast<const char*>(t.raw());
      return std::pair(id, std::string(bytes, bytes + t.bytes()));
    };
    const Model back = opened(GgufOfModel(model.decoder_config(), encode).file().bytes());
    for (const ParamSpec& p : parameter_table(model.config)) {
      EXPECT_EQ(back.weights->stored_as(p.name).dtype, dtype);
      const Tensor t = convert(model.weights->get(p.name).plain(), dtype);
      const Weight w = load_weight(back, p);
      EXPECT_EQ(w.shape(), p.shape);
      EXPECT_EQ(w.plain().dtype(), dtype);
      EXPECT_EQ(w.values(), Weight(t).values()) << p.name;
      back.weights->release(p.name);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, GgufArchitectures,
                         testing::Values("llama", "mistral", "mixtral", "qwen2", "qwen3", "gemma2",
                                         "gpt2"),
                         [](const auto& of) { return std::string(of.param); });

TEST_F(GgufModels, BiasesOfLlamaAreTurnedWithTheirRows) {
  DecoderConfig c = tiny_gguf_config("llama");
  c.qkv_bias = c.o_bias = c.mlp_bias = true;
  gives_the_same(c);
}

TEST_F(GgufModels, HeadsMayHaveAWidthOfTheirOwn) {
  for (const char* type : {"llama", "qwen3", "gemma2", "mixtral"}) {
    DecoderConfig c = tiny_gguf_config(type);
    c.head_dim = 6;
    if (c.attention_scale > 0) c.attention_scale = 1 / std::sqrt(6.0);
    gives_the_same(c);
  }
}

// What transformers takes where config.json says nothing is no other loader's of GGUF.
TEST_F(GgufModels, WithoutAWidthHeadsShareTheStream) {
  for (const std::string type : {"llama", "qwen3", "gemma2", "qwen2"}) {
    DecoderConfig c = tiny_gguf_config(type);
    c.head_dim = 4;
    GgufBytes file = GgufOfModel(tiny_decoder(c, 5)).file();
    for (const char* key :
         {".attention.key_length", ".attention.value_length", ".rope.dimension_count"}) {
      if (file.contains(type + key)) file.without(type + key);
    }
    EXPECT_EQ(opened(file.bytes()).decoder_config(), c);
  }
}

DecoderConfig long_heads() {
  DecoderConfig c = tiny_gguf_config("llama");
  c.hidden_size = 64, c.head_dim = 16;
  return c;
}

TEST_F(GgufModels, RotaryScaling) {
  DecoderConfig c = long_heads();
  c.rope.theta = 500000;
  gives_the_same(c);
  c.rope.scaling = RopeScaling::linear;
  c.rope.factor = 2.5;
  gives_the_same(c);
  c.rope.scaling = RopeScaling::yarn;
  c.rope.original_context = 16;
  gives_the_same(c);
  c.rope = {};
  c.rope.theta = 10000;
  c.rope.scaling = RopeScaling::llama3;
  c.rope.original_context = 8192;
  for (const double factor : {8.0, 32.0}) {
    c.rope.factor = factor;
    gives_the_same(c);
  }
}

// Before there were kinds of scaling, and where a file names none, a factor is one of positions;
// "none" is none whatever stands beside it (llama.cpp).
TEST_F(GgufModels, RotaryScalingInOlderSpellings) {
  DecoderConfig c = long_heads();
  const GgufBytes plain = GgufOfModel(tiny_decoder(c, 5)).file();
  const auto read = [&](GgufBytes file) { return opened(file.bytes()).decoder_config().rope; };
  RopeConfig linear = c.rope;
  linear.scaling = RopeScaling::linear;
  linear.factor = 4;
  const auto with = [&] { return plain; };
  EXPECT_EQ(read(with().f32("llama.rope.scale_linear", 4)), linear);
  EXPECT_EQ(read(with().f32("llama.rope.scaling.factor", 4)), linear);
  EXPECT_EQ(read(with().f32("llama.rope.scaling.factor", 4).f32("llama.rope.scale_linear", 2)),
            linear);
  EXPECT_EQ(read(with().f32("llama.rope.scale_linear", 1)), c.rope);
  EXPECT_EQ(read(with().f32("llama.rope.scaling.factor", 0)), c.rope);
  EXPECT_EQ(read(with().string("llama.rope.scaling.type", "linear")), c.rope);
  EXPECT_EQ(
      read(with().string("llama.rope.scaling.type", "none").f32("llama.rope.scaling.factor", 4)),
      c.rope);
}

TEST_F(GgufModels, YarnsSettingsCount) {
  DecoderConfig c = long_heads();
  c.rope.scaling = RopeScaling::yarn;
  c.rope.factor = 4;
  c.rope.original_context = 16;
  c.rope.beta_fast = 16;
  c.rope.beta_slow = 2;
  GgufBytes file = GgufOfModel(tiny_decoder(c, 5)).file();
  file.f32("llama.rope.scaling.yarn_beta_fast", 16).f32("llama.rope.scaling.yarn_beta_slow", 2);
  file.f32("llama.rope.scaling.yarn_ext_factor", 1).boolean("llama.rope.scaling.finetuned", true);
  EXPECT_EQ(opened(file.bytes()).decoder_config(), c);
  c.rope.attention_factor = 1.25;
  c.rope.mscale = 1;
  c.rope.mscale_all_dim = 0.5;
  file.f32("llama.rope.scaling.yarn_attn_factor", 1.25f);
  file.f32("llama.rope.scaling.yarn_log_multiplier", 0.5f);
  const Model model = opened(file.bytes());
  EXPECT_EQ(model.decoder_config(), c);
  EXPECT_TRUE(model.warnings.empty());
  file.set("llama.rope.scaling.yarn_ext_factor", 6, test::little(0.5f));
  expect_error(ErrorKind::unsupported, "key \"llama.rope.scaling.yarn_ext_factor\"",
               [&] { opened(file.bytes()); });
}

TEST_F(GgufModels, LlamaWithAWindowIsMistral) {
  const DecoderConfig c = tiny_gguf_config("mistral");
  GgufBytes file = GgufOfModel(tiny_decoder(c, 5)).file();
  EXPECT_EQ(opened(file.bytes()).decoder_config().architecture, "mistral");
  file.set("llama.attention.sliding_window", 4, test::little(0u));
  EXPECT_EQ(opened(file.bytes()).decoder_config().sliding_window, 0);
}

// The data are where the header says, or nothing is read at all; a header alone is enough for the
// tokenizer.
TEST_F(GgufModels, WithoutItsDataTheTokenizerCanBeUsed) {
  DecoderConfig c = tiny_gguf_config("llama");
  c.hidden_size = 4096, c.intermediate_size = 11008, c.layers = 32, c.vocab_size = 32000;
  c.heads = c.kv_heads = 32, c.head_dim = 128;  // 7 B
  const auto nothing = [](const ParamSpec&) { return std::pair(0u, std::string()); };
  GgufBytes file = GgufOfModel(c, nothing).file();
  uint64_t next = 0;
  for (GgufBytes::Record& r : file.records) {
    r.offset = next;
    uint64_t bytes = 4;
    for (const uint64_t n : r.extents) bytes *= n;
    next += bytes;
  }
  std::vector<std::string> tokens{"<unk>", "<s>", "</s>", "\xE2\x96\x81", "a"};
  while (tokens.size() < 32000) tokens.push_back("[PAD" + std::to_string(tokens.size()) + "]");
  file.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", tokens);
  test::put_file(path_, file.header() + "x");
  expect_error(ErrorKind::corrupt, path_ + ": tensor \"token_embd.weight\": data [",
               [&] { open_model(path_); });
  expect_error(ErrorKind::corrupt, std::to_string(next - 1) + " bytes are missing",
               [&] { open_model(path_); });
  EXPECT_EQ(gguf_companions(path_)->tokenizer()->encode("a", true),
            (std::vector<int32_t>{1, 3, 4}));
}

class GgufOfSharedModels : public GgufModels, public testing::WithParamInterface<const char*> {};

TEST_P(GgufOfSharedModels, GiveTheirLogits) {
  const std::string source = "../shared/data/models/" + std::string(GetParam());
  if (test::lacks_shared(source)) GTEST_SKIP() << source;
  const Model model = open_model(source);
  const Model back = opened(test::gguf_bytes_of(model));
  EXPECT_EQ(logits_of_tokens(back, kGgufIds), logits_of_tokens(model, kGgufIds));
}

INSTANTIATE_TEST_SUITE_P(All, GgufOfSharedModels,
                         testing::Values("llama-shakespeare", "gpt2-shakespeare", "stories260k"),
                         [](const auto& of) {
                           std::string name = of.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace nibble
