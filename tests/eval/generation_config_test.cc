// generation_config.json: what is taken, what ends a text, what is warned of, what is refused.
#include "nibble/eval/generation_config.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

using Names = std::vector<std::string>;
using Ids = std::vector<int32_t>;

SamplingOptions own() { return {.temperature = 0.5}; }

Names taken(std::string_view json, SamplingOptions& sampling,
            const std::set<std::string>& given = {}) {
  return take_defaults(parse_generation_config(json), given, sampling);
}

// That of Llama-3.1-8B-Instruct.
constexpr std::string_view kLlama =
    R"({"bos_token_id":128000,"do_sample":true,"eos_token_id":[128001,128008,128009],
        "temperature":0.6,"top_p":0.9,"transformers_version":"4.42.3"})";

TEST(GenerationConfig, SamplingIsTakenWhereTheModelSamples) {
  SamplingOptions s = own();
  EXPECT_EQ(taken(kLlama, s), (Names{"temperature", "top_p"}));
  EXPECT_EQ(s.temperature, 0.6);
  EXPECT_EQ(s.top_p, 0.9);
  EXPECT_EQ(s.top_k, 0);
  EXPECT_EQ(s.min_p, 0);
  EXPECT_EQ(s.repetition_penalty, 1);
  const GenerationDefaults d = parse_generation_config(kLlama);
  EXPECT_EQ(d.ends, (Ids{128001, 128008, 128009}));
  EXPECT_EQ(d.bos, 128000);
  EXPECT_EQ(d.warnings, Names{});
}

TEST(GenerationConfig, EveryOptionIsRead) {
  SamplingOptions s = own();
  EXPECT_EQ(
      taken(
          R"({"do_sample":true,"temperature":1,"top_k":20,"top_p":0.8,"min_p":0.05,"typical_p":0.7,
                      "repetition_penalty":1.05})",
          s),
      (Names{"temperature", "top_k", "top_p", "min_p", "typical_p", "repetition_penalty"}));
  EXPECT_EQ(s.temperature, 1);
  EXPECT_EQ(s.top_k, 20);
  EXPECT_EQ(s.top_p, 0.8);
  EXPECT_EQ(s.min_p, 0.05);
  EXPECT_EQ(s.typical_p, 0.7);
  EXPECT_EQ(s.repetition_penalty, 1.05);
}

TEST(GenerationConfig, FlagsCountBeforeIt) {
  SamplingOptions s{.temperature = 0.7, .top_p = 0.3};
  EXPECT_EQ(taken(R"({"do_sample":true,"temperature":0.6,"top_p":0.9,"top_k":5})", s,
                  {"temperature", "top_p"}),
            (Names{"top_k"}));
  EXPECT_EQ(s.temperature, 0.7);
  EXPECT_EQ(s.top_p, 0.3);
  EXPECT_EQ(s.top_k, 5);
  // The likeliest token is asked for: no other setting matters but the penalty, which does.
  SamplingOptions greedy{.temperature = 0};
  EXPECT_EQ(
      taken(R"({"do_sample":true,"top_k":5,"repetition_penalty":1.2})", greedy, {"temperature"}),
      (Names{"repetition_penalty"}));
  EXPECT_EQ(greedy.temperature, 0);
}

TEST(GenerationConfig, WithoutDoSampleOnlyThePenaltyCounts) {
  for (const std::string off : {"", R"("do_sample":false,)", R"("do_sample":null,)"}) {
    SamplingOptions s = own();
    const std::string json = "{" + off + R"("temperature":0.1,"top_k":3,"repetition_penalty":1.1})";
    EXPECT_EQ(taken(json, s), (Names{"repetition_penalty"}));
    EXPECT_EQ(s.temperature, 0.5);  // nibble's own
    EXPECT_EQ(s.top_k, 0);
    const Names warnings = parse_generation_config(json).warnings;
    ASSERT_EQ(warnings.size(), 2u);
    EXPECT_EQ(warnings[0], "key \"temperature\": not used, as \"do_sample\" is not true");
    EXPECT_EQ(warnings[1], "key \"top_k\": not used, as \"do_sample\" is not true");
  }
}

// transformers samples at temperature 1 then.
TEST(GenerationConfig, SamplingWithoutATemperatureIsAtOne) {
  SamplingOptions s = own();
  EXPECT_EQ(taken(R"({"do_sample":true})", s), (Names{"temperature"}));
  EXPECT_EQ(s.temperature, 1);
}

TEST(GenerationConfig, WhatChangesNothingIsNotTold) {
  SamplingOptions s = own();
  EXPECT_EQ(taken(R"({"do_sample":true,"temperature":0.5,"top_p":1.0,"top_k":0,
                      "repetition_penalty":1.0})",
                  s),
            Names{});
}

TEST(GenerationConfig, EndsAreOneIdOrSeveral) {
  const auto ends = [](const std::string& value) {
    return parse_generation_config(R"({"eos_token_id":)" + value + "}").ends;
  };
  EXPECT_EQ(ends("2"), (Ids{2}));
  EXPECT_EQ(ends("[2,0]"), (Ids{2, 0}));
  EXPECT_EQ(ends("[]"), Ids{});
  EXPECT_EQ(ends("null"), Ids{});
  EXPECT_EQ(ends("-1"), Ids{});  // none
  test::expect_error(ErrorKind::corrupt, "key \"eos_token_id\": expected an integer",
                     [&] { ends("\"2\""); });
  test::expect_error(ErrorKind::corrupt, "key \"eos_token_id.1\": expected",
                     [&] { ends("[1,2.5]"); });
}

TEST(GenerationConfig, StopStringsAreOneOrSeveral) {
  EXPECT_EQ(parse_generation_config(R"({"stop_strings":"x"})").stop_strings, (Names{"x"}));
  EXPECT_EQ(parse_generation_config(R"({"stop_strings":["x","y"]})").stop_strings,
            (Names{"x", "y"}));
  test::expect_error(ErrorKind::corrupt, "key \"stop_strings\"",
                     [] { parse_generation_config(R"({"stop_strings":1})"); });
}

TEST(GenerationConfig, WhatIsNotDoneIsWarnedOfByName) {
  for (const std::string key :
       {R"("num_beams":4)", R"("no_repeat_ngram_size":3)", R"("epsilon_cutoff":0.1)",
        R"("suppress_tokens":[1])", R"("bad_words_ids":[[1,2]])", R"("forced_eos_token_id":2)",
        R"("min_new_tokens":5)", R"("penalty_alpha":0.6)", R"("guidance_scale":1.5)",
        R"("renormalize_logits":true)", R"("watermarking_config":{"a":1})",
        R"("of_the_future":1)"}) {
    const Names warnings = parse_generation_config("{" + key + "}").warnings;
    ASSERT_EQ(warnings.size(), 1u) << key;
    EXPECT_EQ(warnings[0].find("key " + key.substr(0, key.find(':'))), 0u) << warnings[0];
  }
}

TEST(GenerationConfig, WhatDoesNothingIsNotWarnedOf) {
  EXPECT_EQ(parse_generation_config(
                R"({"_from_model_config":true,"transformers_version":"4.57.1","pad_token_id":0,
                    "max_length":4096,"max_new_tokens":2048,"num_beams":1,"typical_p":1.0,
                    "no_repeat_ngram_size":0,"suppress_tokens":null,"bad_words_ids":[],
                    "renormalize_logits":false,"forced_bos_token_id":null,"use_cache":true})")
                .warnings,
            Names{});
}

TEST(GenerationConfig, RefusesValuesThatCannotBe) {
  for (const auto& [json, words] : std::vector<std::pair<std::string, std::string>>{
           {R"({"temperature":-1})", "key \"temperature\": expected 0 or more (got -1)"},
           {R"({"temperature":1e999})", "number"},
           {R"({"temperature":NaN})", "key \"temperature\": expected 0 or more (got nan)"},
           {R"({"top_p":Infinity})", "key \"top_p\": expected 0 to 1 (got inf)"},
           {R"({"temperature":"hot"})", "key \"temperature\": expected a number"},
           {R"({"top_p":1.5})", "key \"top_p\": expected 0 to 1"},
           {R"({"min_p":-0.1})", "key \"min_p\": expected 0 to 1"},
           {R"({"typical_p":0})", "key \"typical_p\": expected more than 0 and at most 1"},
           {R"({"top_k":-1})", "key \"top_k\": expected 0 or more"},
           {R"({"top_k":2.5})", "key \"top_k\": expected an integer"},
           {R"({"repetition_penalty":0})", "key \"repetition_penalty\": expected more than 0"},
           {R"({"do_sample":1})", "key \"do_sample\": expected true or false"},
           {R"([])", "expected an object"},
           {R"({"top_k":1,"top_k":2})", "duplicate key"},
           {"{", "offset"}}) {
    test::expect_error(ErrorKind::corrupt, words, [&] { parse_generation_config(json); });
  }
}

class OfAFolder : public ::testing::Test {
 protected:
  OfAFolder() : path_(write_tiny_model(folder_ / "model")) {}
  GenerationDefaults read() const { return read_generation_defaults(open_model(path_)); }
  void put(const std::string& name, std::string_view text) {
    test::put_file(path_ + "/" + name, text);
  }
  test::TempFolder folder_;
  std::string path_;
};

TEST_F(OfAFolder, NothingIsSaidWithoutTheFile) {
  const GenerationDefaults d = read();
  EXPECT_FALSE(d.do_sample);
  EXPECT_FALSE(d.bos.has_value());
  EXPECT_EQ(d.ends, Ids{});
  EXPECT_EQ(d.warnings, Names{});
}

TEST_F(OfAFolder, EveryEndOfBothFilesCounts) {
  std::string config = test::get_file(path_ + "/config.json");
  config.insert(config.find('{') + 1, R"("eos_token_id":[3,4],"bos_token_id":5,)");
  put("config.json", config);
  EXPECT_EQ(read().ends, (Ids{3, 4}));
  EXPECT_EQ(read().bos, 5);
  put("generation_config.json", R"({"eos_token_id":[1,3],"bos_token_id":2})");
  EXPECT_EQ(read().ends, (Ids{1, 3, 3, 4}));
  EXPECT_EQ(read().bos, 2);
  const Model model = open_model(path_);
  const int32_t eos = model.require_tokenizer().eos().value();
  EXPECT_EQ(text_ends(model, read()), (Ids{eos, 1, 3, 4}));
}

TEST_F(OfAFolder, IdsWithoutARowAreWarnedOf) {
  put("generation_config.json", R"({"eos_token_id":[1,50256],"bos_token_id":-5})");
  const GenerationDefaults d = read();
  EXPECT_EQ(d.ends, (Ids{1}));
  EXPECT_FALSE(d.bos.has_value());
  ASSERT_EQ(d.warnings.size(), 2u);
  EXPECT_NE(d.warnings[0].find("generation_config.json: token id 50256"), std::string::npos);
}

TEST_F(OfAFolder, ErrorsNameTheFile) {
  put("generation_config.json", R"({"temperature":-1})");
  test::expect_error(ErrorKind::corrupt, path_ + "/generation_config.json: key \"temperature\"",
                     [&] { read(); });
}

}  // namespace
}  // namespace nibble
