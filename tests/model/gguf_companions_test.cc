// What a folder made of a GGUF file takes over of its metadata.
#include "nibble/model/gguf_companions.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "nibble/text/chat_template.h"
#include "nibble/text/load.h"
#include "tests/support/gguf_bytes.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

class CarriedFromGguf : public testing::Test {
 protected:
  CarriedFromGguf() {
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    std::vector<int32_t> types = {2, 3, 3};
    std::vector<float> scores = {0, 0, 0};
    const std::string digits = "0123456789ABCDEF";
    for (int b = 0; b < 256; ++b) {
      tokens.push_back(std::string("<0x") + digits[b / 16] + digits[b % 16] + ">");
      types.push_back(6), scores.push_back(0);
    }
    for (const char* text : {"\u2581", "a", "b", "ab", "<|im_end|>"}) {
      tokens.emplace_back(text), types.push_back(text[0] == '<' ? 3 : 1);
      scores.push_back(-static_cast<float>(tokens.size()));
    }
    file_.string("general.architecture", "llama").u32("llama.context_length", 512);
    file_.string("tokenizer.ggml.model", "llama").strings("tokenizer.ggml.tokens", tokens);
    file_.i32s("tokenizer.ggml.token_type", types).f32s("tokenizer.ggml.scores", scores);
    file_.string("tokenizer.chat_template", kTemplate);
  }
  std::vector<std::string> carry() {
    test::put_file(path_, file_.bytes());
    companions_ = gguf_companions(path_);
    std::filesystem::create_directories(out_);
    return companions_->carry(out_);
  }
  nlohmann::json read(const std::string& name) const {
    return nlohmann::json::parse(test::get_file(out_ + "/" + name));
  }

  const std::string kTemplate = "{% for m in messages %}\n{{ m['content'] }}\"\u00e9\"{% endfor %}";
  test::TempFolder folder_;
  std::string path_ = folder_ / "m.gguf", out_ = folder_ / "out";
  test::GgufBytes file_;
  std::shared_ptr<const Companions> companions_;
};

TEST_F(CarriedFromGguf, TokenizerTemplateAndEnds) {
  EXPECT_EQ(carry(), std::vector<std::string>());
  const std::shared_ptr<const Tokenizer> made = load_tokenizer(out_),
                                         own = companions_->tokenizer();
  for (const char* text : {"ab", " a b", "abab\u00e9", "<s>ab<|im_end|>"})
    EXPECT_EQ(made->encode(text, true), own->encode(text, true)) << text;
  EXPECT_EQ(default_template(read_chat_templates(out_)), kTemplate);
  EXPECT_EQ(read("tokenizer_config.json")["model_max_length"], 512);
  const auto generation = read("generation_config.json");
  EXPECT_EQ(generation["bos_token_id"], 1);
  EXPECT_EQ(generation["eos_token_id"], nlohmann::json({2, 263})) << "what ends an answer, too";
  EXPECT_FALSE(generation.contains("do_sample"));
}

TEST_F(CarriedFromGguf, WhatTheFileSaysOfSampling) {
  file_.f32("general.sampling.temp", 0.5f).u32("general.sampling.top_k", 20);
  file_.f32("general.sampling.top_p", 0.75f).u32("tokenizer.ggml.padding_token_id", 0);
  EXPECT_EQ(carry(), std::vector<std::string>());
  const auto generation = read("generation_config.json");
  EXPECT_EQ(generation["temperature"], 0.5);
  EXPECT_EQ(generation["top_k"], 20);
  EXPECT_EQ(generation["top_p"], 0.75);
  EXPECT_EQ(generation["do_sample"], true);
  EXPECT_EQ(generation["pad_token_id"], 0);
  EXPECT_EQ(read("tokenizer_config.json")["pad_token"], "<unk>");
}

TEST_F(CarriedFromGguf, OneThatIsNotKnownIsToldOfAndLeavesNothing) {
  file_.set("tokenizer.ggml.model", 8, test::gguf_string("rwkv"));
  const auto lines = carry();
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_NE(lines[0].find("the tokenizer is not carried over ("), std::string::npos) << lines[0];
  EXPECT_NE(lines[0].find("\"rwkv\" is not supported"), std::string::npos) << lines[0];
  EXPECT_FALSE(std::filesystem::exists(out_ + "/tokenizer.json"));
}

// Merges of a character that is no token cannot be said; the probe has a word of them.
TEST_F(CarriedFromGguf, OtherIdsAreToldOf) {
  file_.set("tokenizer.ggml.tokens", 9, [&] {
    std::vector<std::string> tokens;
    std::string items;
    for (const auto& e : file_.entries) {
      if (e.key == "tokenizer.ggml.tokens") items = e.value;
    }
    const std::string from = test::gguf_string("ab"), to = test::gguf_string("qu");
    items.replace(items.find(from), from.size(), to);
    return items;
  }());
  const auto lines = carry();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_NE(lines[0].find("cannot be said in tokenizer.json"), std::string::npos) << lines[0];
  EXPECT_NE(lines[1].find("makes other ids than the file's own tokenizer of \"The quick"),
            std::string::npos)
      << lines[1];
}

}  // namespace
}  // namespace nibble
