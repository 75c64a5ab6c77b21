// GGUF files whose metadata and tensors cannot be a model (BAD_INPUTS G15 to G18).
#include <gtest/gtest.h>

#include <limits>

#include "nibble/model/model.h"
#include "nibble/text/chat_template.h"
#include "tests/support/expect_error.h"
#include "tests/support/gguf_model.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;
using test::GgufBytes;
using test::GgufOfModel;
using test::little;

constexpr float kNotANumber = std::numeric_limits<float>::quiet_NaN();
constexpr float kEndless = std::numeric_limits<float>::infinity();

GgufBytes tiny_file(const std::string& type = "llama") {
  return GgufOfModel(tiny_decoder(tiny_decoder_config(type), 5)).file();
}

class GgufConfigs : public testing::Test {
 protected:
  Model opened(const GgufBytes& file) {
    test::put_file(path_, file.bytes());
    return open_model(path_);
  }
  void refuses(const std::string& words, const GgufBytes& file) {
    expect_error(test::bad_file(), path_ + ": ", [&] { opened(file); });
    expect_error(test::bad_file(), words, [&] { opened(file); });
  }
  void refuses_key(const std::string& key, uint32_t type, const std::string& value) {
    SCOPED_TRACE(key);
    refuses("key \"" + key + "\": ", tiny_file().set(key, type, value));
  }
  void refuses_u32(const std::string& key, std::initializer_list<uint32_t> values) {
    for (const uint32_t v : values) refuses_key(key, 4, little(v));
  }
  void refuses_f32(const std::string& key, std::initializer_list<float> values) {
    for (const float v : values) refuses_key(key, 6, little(v));
  }
  test::TempFolder folder_;
  std::string path_ = folder_ / "model.gguf";
};

TEST_F(GgufConfigs, G15SizesNoModelHas) {
  refuses_u32("llama.attention.head_count", {0, 3, 5, 1000, ~0u});
  refuses_u32("llama.attention.head_count_kv", {0, 3, 8, ~0u});
  refuses_u32("llama.block_count", {0, 1'000'000'000, ~0u});
  refuses_u32("llama.context_length", {0, ~0u});
  refuses_u32("llama.embedding_length", {0});
  refuses("key \"llama.attention.head_count\": 4 heads do not divide",
          tiny_file().set("llama.embedding_length", 4, little(~0u)));
  refuses_u32("llama.feed_forward_length", {0, ~0u});
  refuses_f32("llama.attention.layer_norm_rms_epsilon", {kNotANumber, kEndless, -1, 0});
  refuses_f32("llama.rope.freq_base", {kNotANumber, kEndless, -1, 0});
  refuses_u32("llama.rope.dimension_count", {0, 2, 8, ~0u});
}

TEST_F(GgufConfigs, G15WidthsOfHeads) {
  for (const uint32_t v : {0u, 3u, ~0u}) {
    refuses("key \"llama.", tiny_file().u32("llama.attention.key_length", v));
    refuses("key \"llama.attention.value_length\"",
            tiny_file().u32("llama.attention.value_length", v));
  }
}

TEST_F(GgufConfigs, G15Scaling) {
  const auto with = [](const std::string& kind, float factor) {
    return tiny_file()
        .string("llama.rope.scaling.type", kind)
        .f32("llama.rope.scaling.factor", factor);
  };
  for (const float factor : {kNotANumber, kEndless, -1.0f}) {
    refuses("key \"llama.rope.scaling.factor\": ", with("linear", factor));
    refuses("key \"llama.rope.scaling.factor\": ", with("yarn", factor));
  }
  refuses("key \"llama.rope.scaling.type\": ", with("longrope", 2));
  refuses("key \"llama.rope.scaling.type\": ", with("", 2));
  refuses("key \"llama.rope.scaling.attn_factor\": is 0.7",
          with("yarn", 2).f32("llama.rope.scaling.attn_factor", 0.7f));
  refuses("key \"llama.rope.scaling.original_context_length\": ",
          with("yarn", 2).u32("llama.rope.scaling.original_context_length", 0));
}

TEST_F(GgufConfigs, G15ExpertsAndCaps) {
  const auto experts = [&](const std::string& key, uint32_t v) {
    refuses("key \"" + key + "\": ", tiny_file("mixtral").set(key, 4, little(v)));
  };
  for (const uint32_t v : {0u, 5u, ~0u}) experts("llama.expert_used_count", v);
  experts("llama.expert_count", ~0u);
  for (const float v : {kNotANumber, kEndless, -1.0f}) {
    for (const char* key : {"gemma2.attn_logit_softcapping", "gemma2.final_logit_softcapping"})
      refuses("key \"" + std::string(key) + "\": ", tiny_file("gemma2").set(key, 6, little(v)));
  }
}

TEST_F(GgufConfigs, G15ValuesOfOtherTypes) {
  for (const char* key : {"llama.block_count", "llama.attention.head_count",
                          "llama.attention.layer_norm_rms_epsilon", "llama.rope.freq_base"}) {
    refuses_key(key, 8, test::gguf_string("2"));
    refuses_key(key, 7, "\1");
    refuses_key(key, 9, little(4u) + little(uint64_t{2}) + little(2u) + little(2u));
  }
  refuses_key("general.architecture", 4, little(1u));
  refuses("key \"llama.rope.scaling.type\": ", tiny_file().u32("llama.rope.scaling.type", 1));
  // Whole numbers of any width are fine.
  EXPECT_EQ(opened(tiny_file().set("llama.block_count", 10, little(uint64_t{2}))).decoder_config(),
            opened(tiny_file()).decoder_config());
  refuses_key("llama.block_count", 10, little(~uint64_t{0}));
  refuses_key("llama.block_count", 11, little(int64_t{-1}));
  refuses_key("llama.block_count", 6, little(2.5f));
}

TEST_F(GgufConfigs, G15KeysThatAreMissing) {
  for (const char* key : {"general.architecture", "llama.context_length", "llama.embedding_length",
                          "llama.block_count", "llama.feed_forward_length",
                          "llama.attention.head_count", "llama.attention.layer_norm_rms_epsilon"})
    refuses("key \"" + std::string(key) + "\": ", tiny_file().without(key));
  for (const char* key : {"llama.attention.head_count_kv", "llama.rope.freq_base",
                          "llama.rope.dimension_count", "llama.vocab_size"}) {
    GgufBytes file = tiny_file();
    file.without(key);
    if (std::string_view(key).ends_with("kv")) continue;  // another model, with other shapes
    EXPECT_EQ(opened(file).decoder_config(), opened(tiny_file()).decoder_config()) << key;
  }
  refuses("tensor \"blk.0.attn_k.weight\": expected shape [16, 16]",
          tiny_file().without("llama.attention.head_count_kv"));
}

TEST_F(GgufConfigs, ArchitecturesThatAreNotKnown) {
  for (const char* name : {"phi3", "", "LLAMA", "clip"}) {
    refuses("key \"general.architecture\": \"" + std::string(name) + "\" is not one",
            tiny_file().set("general.architecture", 8, test::gguf_string(name)));
  }
}

TEST_F(GgufConfigs, KeysThatNobodyReadsAreSaid) {
  GgufBytes file = tiny_file().f32("llama.whatever", 2).u32("general.whatever", 1);
  const Model model = opened(file);
  ASSERT_EQ(model.warnings.size(), 1u);
  EXPECT_NE(model.warnings[0].find("\"llama.whatever\""), std::string::npos);
  for (int i = 0; i < 10'000; ++i) file.u32("llama.k" + std::to_string(i), 1);
  const Model many = opened(file);
  ASSERT_EQ(many.warnings.size(), 1u);
  EXPECT_LT(many.warnings[0].size(), 300u);
}

TEST_F(GgufConfigs, KeysThatChangeWhatIsComputedAreRefused) {
  for (const char* name : {"attention.scale", "attention.clamp_kqv", "logit_scale",
                           "residual_scale", "embedding_scale", "expert_weights_scale"}) {
    const std::string key = "llama." + std::string(name);
    refuses("key \"" + key + "\": is 0.5: that cannot be run", tiny_file().f32(key, 0.5f));
    EXPECT_TRUE(opened(tiny_file().f32(key, 0)).warnings.empty());
  }
  refuses("key \"llama.attention.causal\"", tiny_file().boolean("llama.attention.causal", false));
  EXPECT_TRUE(opened(tiny_file().boolean("llama.attention.causal", true)).warnings.empty());
  refuses("key \"llama.expert_shared_count\"", tiny_file().u32("llama.expert_shared_count", 1));
}

TEST_F(GgufConfigs, G16TensorsThatDoNotFit) {
  refuses("tensor \"token_embd.weight\": expected shape [50, 24] by the metadata, found [50, 16]",
          tiny_file()
              .set("llama.embedding_length", 4, little(24u))
              .set("llama.rope.dimension_count", 4, little(6u)));
  refuses("tensor \"blk.2.attn_norm.weight\"", tiny_file().set("llama.block_count", 4, little(3u)));
  for (const char* name : {"token_embd.weight", "blk.1.ffn_down.weight", "output_norm.weight",
                           "blk.0.attn_norm.weight"})
    refuses("tensor \"" + std::string(name) + "\": ", tiny_file().without_tensor(name));
  GgufBytes turned = tiny_file();
  std::reverse(turned.record("blk.0.ffn_up.weight").extents.begin(),
               turned.record("blk.0.ffn_up.weight").extents.end());
  refuses("tensor \"blk.0.ffn_up.weight\": expected shape [24, 16] by the metadata, found [16, 24]",
          turned);
  GgufBytes flat = tiny_file();
  flat.record("blk.0.ffn_up.weight").extents = {24 * 16};
  refuses("tensor \"blk.0.ffn_up.weight\"", flat);
  flat = tiny_file();
  flat.record("token_embd.weight").extents = {50 * 16};
  refuses("tensor \"token_embd.weight\"", flat);
  flat.record("token_embd.weight").extents = {0, 50};
  flat.record("token_embd.weight").data = "";
  refuses("tensor \"token_embd.weight\"", flat);
}

TEST_F(GgufConfigs, G16TensorsTooManyAreSaid) {
  const GgufBytes more = tiny_file().f32_tensor("blk.0.attn_sinks.weight", {1}, {1});
  const Model model = opened(more);
  ASSERT_EQ(model.warnings.size(), 1u);
  EXPECT_NE(model.warnings[0].find("\"blk.0.attn_sinks.weight\""), std::string::npos);
}

TEST_F(GgufConfigs, TypesThatNothingMultiplies) {
  GgufBytes bad = tiny_file();
  auto& up = bad.record("blk.0.ffn_up.weight");
  for (const auto& [type, size] : {std::pair(24u, 1), {25u, 2}, {26u, 4}, {27u, 8}, {28u, 8}}) {
    up.type = type;
    up.data.assign(static_cast<size_t>(24 * 16 * size), '\1');
    refuses("tensor \"blk.0.ffn_up.weight\": ", bad);
  }
}

// A vector in blocks: as many rows as elements would be read.
TEST_F(GgufConfigs, VectorsInBlocksAreRefused) {
  DecoderConfig c = tiny_decoder_config("llama");
  c.hidden_size = 32, c.head_dim = 8;
  c.qkv_bias = c.o_bias = true;
  const GgufBytes good = GgufOfModel(tiny_decoder(c, 5)).file();
  opened(good);
  for (const char* name : {"output_norm.weight", "blk.1.attn_norm.weight", "blk.0.attn_q.bias"}) {
    GgufBytes bad = good;
    bad.record(name).type = 8;
    bad.record(name).data.assign(34, '\1');
    refuses("tensor \"" + std::string(name) + "\": ", bad);
  }
}

TEST_F(GgufConfigs, DivisorsOfFrequencies) {
  const auto with = [](std::vector<float> divisors) {
    return tiny_file().f32_tensor("rope_freqs.weight", {divisors.size()}, divisors);
  };
  const std::string where = "tensor \"rope_freqs.weight\": ";
  opened(with({1, 1}));
  refuses(where, with({}));
  refuses(where, with({1}));
  refuses(where, with({1, 1, 1, 1}));
  for (const float v : {kNotANumber, kEndless, 0.0f, -1.0f, 2.0f}) {
    refuses(where, with({1, v}));
    refuses(where, with({v, 1}));
  }
  GgufBytes blocks = tiny_file();
  blocks.tensor("rope_freqs.weight", {32}, 8, std::string(34, '\1'));
  refuses(where, blocks);
  blocks.record("rope_freqs.weight").type = 26;
  blocks.record("rope_freqs.weight").extents = {2};
  refuses(where, blocks);
  // Divided twice: by the tensor and by a factor.
  refuses("key \"llama.rope.scaling.factor\": ", with({1, 1}).f32("llama.rope.scaling.factor", 2));
  // Without its data it is not read.
  const std::string whole = with({1, 1}).bytes();
  for (size_t missing = 1; missing < 1000; ++missing) {
    test::put_file(path_, whole.substr(0, whole.size() - missing));
    expect_error(ErrorKind::corrupt, "bytes are missing", [&] { open_model(path_); });
  }
}

// BAD_INPUTS G17: each row of the table is a token.
TEST_F(GgufConfigs, G17TokensThatAreNotTheRowsOfTheTable) {
  const auto with = [](size_t count) {
    std::vector<std::string> tokens{"<unk>", "<s>", "</s>"};
    while (tokens.size() < count) tokens.push_back("t" + std::to_string(tokens.size()));
    return tiny_file()
        .string("tokenizer.ggml.model", "llama")
        .strings("tokenizer.ggml.tokens", tokens);
  };
  EXPECT_EQ(opened(with(50)).require_tokenizer().vocab_size(), 50);
  for (const size_t count : {3, 49, 51}) {
    refuses("key \"tokenizer.ggml.tokens\": " + std::to_string(count) +
                " tokens, but the model's "
                "table has rows for 50",
            with(count));
  }
  const auto tokenizer = [&](const GgufBytes& file) { opened(file).require_tokenizer(); };
  expect_error(ErrorKind::corrupt, path_ + ": key \"tokenizer.ggml.scores\"", [&] {
    tokenizer(with(50).f32s("tokenizer.ggml.scores", {1, 2}));
  });
  expect_error(ErrorKind::corrupt, path_ + ": key \"tokenizer.ggml.token_type\"", [&] {
    tokenizer(with(50).i32s("tokenizer.ggml.token_type", {1, 2}));
  });
  // BAD_INPUTS G18.
  for (const uint32_t id : {50u, 1u << 31, ~0u}) {
    for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.bos_token_id"})
      expect_error(ErrorKind::corrupt, path_ + ": key \"" + key + "\"",
                   [&] { tokenizer(with(50).u32(key, id)); });
  }
}

// A byte of such a list would become many in memory.
TEST_F(GgufConfigs, ListsOfTheTokenizerAreNoLongerThanAnyVocabulary) {
  constexpr uint64_t kItems = (1 << 21) + 1;
  GgufBytes file = tiny_file().string("tokenizer.ggml.model", "llama");
  file.array("tokenizer.ggml.token_type", 0, kItems, std::string(kItems, '\1'));
  const Model model = opened(file);
  expect_error(ErrorKind::corrupt,
               path_ + ": key \"tokenizer.ggml.token_type\": 2097153 items, limit 2097152",
               [&] { model.require_tokenizer(); });
}

// BAD_INPUTS G21: templates can do nothing but make text, and not without end.
TEST_F(GgufConfigs, G21TemplatesAreBounded) {
  const std::string long_one(10 << 20, 'x');
  for (const std::string_view text :
       {std::string_view("{% for i in range(10**9) %}x{% endfor %}"),
        std::string_view("{{ ''.__class__.__mro__[1].__subclasses__() }}"),
        std::string_view(long_one)}) {
    GgufBytes file = tiny_file();
    std::vector<std::string> tokens;
    while (tokens.size() < 50) tokens.push_back("t" + std::to_string(tokens.size()));
    file.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", tokens);
    file.string("tokenizer.chat_template", text);
    const Model model = opened(file);
    expect_error(ErrorKind::corrupt, "template", [&] {
      const std::string source = choose_template(model.companions->chat_templates(), false);
      ChatProgram::parse(source).render({}, std::tm{});
    });
  }
}

}  // namespace
}  // namespace nibble
