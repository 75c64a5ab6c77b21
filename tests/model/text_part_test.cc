// Models of several parts, of which the text part is read, and experts that lie in one tensor.
#include "nibble/model/text_part.h"

#include <gtest/gtest.h>

#include "nibble/format/safetensors.h"
#include "nibble/model/config_file.h"
#include "nibble/model/renamed_tensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

TEST(TextPart, IsTheConfigOfTheTextAlone) {
  const std::string plain = R"({"model_type": "llama", "x": [1, {"y": 2.5}]})";
  EXPECT_EQ(text_part(plain), plain);
  const JsonFields f = JsonFields::parse(text_part(
      R"({"model_type": "qwen3_5", "dtype": "bfloat16", "tie_word_embeddings": true,
          "vision_config": {"hidden_size": 7, "text_config": {"hidden_size": 9}},
          "text_config": {"hidden_size": 64, "tie_word_embeddings": false,
                          "layer_types": ["full_attention"], "rope_parameters": {"a": {"b": 1.0}}},
          "eos_token_id": [1, 2], "image_token_id": 5})"));
  EXPECT_EQ(f.string("model_type"), "qwen3_5_text");
  EXPECT_EQ(f.integer("hidden_size"), 64);
  EXPECT_EQ(f.string("dtype"), "bfloat16");
  EXPECT_FALSE(f.boolean("tie_word_embeddings"));
  EXPECT_EQ(f.strings("layer_types"), std::vector<std::string>{"full_attention"});
  EXPECT_EQ(f.number("rope_parameters.a.b"), 1);
  EXPECT_EQ(f.integers("eos_token_id"), (std::vector<int64_t>{1, 2}));
  EXPECT_FALSE(f.contains("vision_config"));
  EXPECT_FALSE(f.contains("image_token_id"));
}

TEST(TextPart, WhatPublishedFilesLeaveOutIsTransformers) {
  const JsonFields f = JsonFields::parse(text_part(
      R"({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text",
          "hidden_size": 2560}})"));
  EXPECT_EQ(f.integer("hidden_size"), 2560);
  EXPECT_EQ(f.integer("vocab_size"), 262208);
  EXPECT_EQ(f.integer("num_key_value_heads"), 4);
}

TEST(TextPart, RefusesWhatIsNoObject) {
  expect_error(ErrorKind::corrupt, "text_config",
               [] { text_part(R"({"model_type": "gemma3", "text_config": 3})"); });
  expect_error(ErrorKind::corrupt, "model_type", [] { text_part(R"({"text_config": {}})"); });
}

// A tiny model as the text part of a larger one; its experts stacked.
class Nested : public testing::TestWithParam<const char*> {
 protected:
  std::string write(const Model& model, const std::string& inside, const std::string& head) {
    std::vector<NamedTensor> out;
    std::map<std::string, std::vector<float>> stacked;
    std::map<std::string, Shape> shapes;
    for (const ParamSpec& p : parameter_table(model.config)) {
      const Tensor t = load_weight(model, p).floats();
      std::string name = p.role == Role::lm_head ? head + p.name : inside + p.name.substr(6);
      if (p.expert < 0) {
        out.push_back({name, as_stored_floats(p, t)});
        continue;
      }
      const std::string at = "experts." + std::to_string(p.expert) + ".";
      const std::string part = name.substr(name.find(at) + at.size());
      name.erase(name.find(at) + 7);
      name += part == "down_proj.weight" ? ".down_proj" : ".gate_up_proj";
      const auto values = t.data<float>();
      std::vector<float>& all = stacked[name];
      all.insert(all.end(), values.begin(), values.end());
      shapes[name] = p.shape;
    }
    for (const auto& [name, values] : stacked) {
      const int64_t experts = model.decoder_config().experts, k = shapes[name][1];
      out.push_back(
          {name, Tensor::from<float>(
                     {experts, static_cast<int64_t>(values.size()) / experts / k, k}, values)});
    }
    out.push_back({"model.visual.patch.weight", Tensor(DType::f32, {2, 2})});
    write_safetensors(folder_ / "model.safetensors", out);
    return folder_.path();
  }

  // Gains are stored less what the architecture adds to them.
  static Tensor as_stored_floats(const ParamSpec& p, const Tensor& t) {
    Tensor out = t.clone();
    for (float& v : out.mutable_data<float>()) v -= p.offset;
    return out;
  }

  test::TempFolder folder_;
};

TEST_P(Nested, IsReadAsTheTextModelItIs) {
  const std::string type = GetParam();
  const DecoderConfig config = tiny_decoder_config(type);
  const Model model = tiny_decoder(config, 7);
  const std::vector<int32_t> ids = {3, 1, 18, 7, 7, 2, 11, 40, 3};
  const std::vector<float> expected = logits_of_tokens(model, ids);
  JsonWriter text;
  text.begin_object().field("model_type", type);
  architecture(type).write_config(config, text);
  const std::string inner = text.end_object().finish();
  for (const auto& [inside, head] : {std::pair("model.language_model.", ""),
                                     std::pair("language_model.model.", "language_model.")}) {
    const std::string folder = write(model, inside, head);
    test::put_file(folder + "/config.json",
                   R"({"model_type": "whole", "vision_config": {}, "text_config": )" + inner + "}");
    const Model opened = open_model(folder);
    EXPECT_EQ(logits_of_tokens(opened, ids), expected);
    ASSERT_FALSE(opened.warnings.empty());
    EXPECT_NE(opened.warnings.back().find("model.visual.patch.weight"), std::string::npos);
    EXPECT_EQ(JsonFields::parse(config_without_quantization(opened)).string("model_type"), type);
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Nested,
                         testing::Values("llama", "gemma3_text", "qwen3_5_text", "qwen3_5_moe_text",
                                         "qwen3_moe"));

}  // namespace
}  // namespace nibble
