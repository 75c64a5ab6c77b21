// Rotary positions of a config.json that says them twice, in parts, or in the wrong type.
#include <gtest/gtest.h>

#include "nibble/model/hf_config.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

RopeConfig rope(const std::string& keys) {
  return hf::read_rope(JsonFields::parse("{" + keys + "}"), 10000.0, 512);
}

void refuses_rope(std::string_view words, const std::string& keys) {
  expect_error(test::bad_file(), words, [&] { rope(keys); });
}

const std::string kYarn = R"("rope_scaling": {"rope_type": "yarn", "factor": 4.0})";
const std::string kDefault =
    R"("rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"})";

// As transformers 5 has it; transformers 4 knows no other key.
TEST(HfRope, ScalingAddedByHandWins) {
  const RopeConfig both = rope(kYarn + ", " + kDefault);
  EXPECT_EQ(both, rope(kYarn));
  EXPECT_EQ(both.scaling, RopeScaling::yarn);
  EXPECT_EQ(both.factor, 4.0);
  EXPECT_EQ(rope(kDefault + R"(, "rope_scaling": null)").scaling, RopeScaling::none);
  EXPECT_EQ(rope(kDefault + R"(, "rope_scaling": {})").scaling, RopeScaling::none);
  const std::string linear = R"({"rope_type": "linear", "factor": 2.0})";
  EXPECT_EQ(rope(R"("rope_scaling": )" + linear + R"(, "rope_parameters": )" + linear).factor, 2.0);
}

TEST(HfRope, TwoThatContradictEachOtherAreRefused) {
  const std::string linear = R"("rope_type": "linear", "factor": 2.0})";
  refuses_rope("rope_scaling", kYarn + R"(, "rope_parameters": {)" + linear);
  refuses_rope("rope_scaling", R"("rope_scaling": {"rope_type": "linear", "factor": 3.0},
                             "rope_parameters": {)" +
                                   linear);
  // A theta that only one of them has would be lost.
  refuses_rope("rope_theta", kYarn + R"(, "rope_parameters": {"rope_theta": 5e5})");
  refuses_rope("rope_theta", R"("rope_theta": 1e6, "rope_parameters": {"rope_theta": 5e5})");
  refuses_rope("rope_theta", R"("rope_theta": 1e6, "rope_scaling": {"type": "linear", "factor": 2,
                           "rope_theta": 1e4})");
  EXPECT_EQ(rope(R"("rope_theta": 5e5, "rope_parameters": {"rope_theta": 500000})").theta, 5e5);
  refuses_rope("type", R"("rope_scaling": {"rope_type": "linear", "type": "yarn", "factor": 2.0})");
}

TEST(HfRope, WrongTypesAreNotAbsent) {
  for (const char* value : {"\"linear\"", "[1]", "4", "true"}) {
    refuses_rope("expected an object", std::string(R"("rope_scaling": )") + value);
    refuses_rope("expected an object", std::string(R"("rope_parameters": )") + value);
  }
  for (const char* value : {"[\"linear\"]", "{}", "1"}) {
    refuses_rope("expected a string",
                 std::string(R"("rope_scaling": {"factor": 2, "rope_type": )") + value + "}");
    refuses_rope("expected a string",
                 std::string(R"("rope_scaling": {"factor": 2, "type": )") + value + "}");
  }
  refuses_rope("expected a number", R"("rope_theta": [10000])");
  refuses_rope("expected a number", R"("rope_scaling": {"type": "linear", "factor": {}})");
}

TEST(HfRope, PartsOfAHeadAreRefusedWhereverTheyStand) {
  refuses_rope("partial_rotary_factor", R"("partial_rotary_factor": 0.5)");
  refuses_rope("rope_parameters.partial_rotary_factor",
               R"("rope_parameters": {"partial_rotary_factor": 0.5})");
  refuses_rope("rope_scaling.partial_rotary_factor",
               kDefault + R"(, "rope_scaling": {"partial_rotary_factor": 0.25})");
  refuses_rope("partial_rotary_factor", R"("partial_rotary_factor": "0.5")");
  EXPECT_EQ(rope(R"("partial_rotary_factor": 1)").theta, 10000.0);
}

TEST(HfRope, WhatAKindDoesNotReadIsRefusedByName) {
  refuses_rope("rope_scaling.factor", R"("rope_scaling": {"factor": 4.0})");
  refuses_rope("rope_scaling.beta_fast",
               R"("rope_scaling": {"type": "linear", "factor": 4.0, "beta_fast": 32})");
  refuses_rope("rope_parameters.long_factor",
               R"("rope_parameters": {"rope_type": "default", "long_factor": [1.0, 2.0]})");
  refuses_rope("rope_parameters.full_attention",
               R"("rope_parameters": {"full_attention": {"rope_theta": 1e6}})");
  EXPECT_EQ(rope(R"("rope_scaling": {"type": "yarn", "factor": 2.0, "finetuned": true,
                    "low_freq_factor": null})")
                .factor,
            2.0);
}

// By the key that the file has, in its section.
TEST(HfRope, ValuesThatTurnNothingNameTheirKey) {
  for (const char* value : {"0", "-2", "-0.5"}) {
    const std::string v = value;
    refuses_rope("key \"rope_theta\": must be a positive number", R"("rope_theta": )" + v);
    refuses_rope("key \"rope_parameters.rope_theta\": must be a positive number",
                 R"("rope_parameters": {"rope_theta": )" + v + "}");
    refuses_rope("key \"rope_scaling.factor\": must be a positive number",
                 R"("rope_scaling": {"type": "linear", "factor": )" + v + "}");
    for (const char* key : {"attention_factor", "beta_fast", "beta_slow"})
      refuses_rope("key \"rope_scaling." + std::string(key) + "\": must be a positive number",
                   R"("rope_scaling": {"type": "yarn", "factor": 2, ")" + std::string(key) +
                       "\": " + v + "}");
  }
  refuses_rope(
      "key \"rope_scaling.original_max_position_embeddings\": must be between 1",
      R"("rope_scaling": {"type": "yarn", "factor": 2, "original_max_position_embeddings": 0})");
  refuses_rope("key \"rope_parameters.high_freq_factor\": must be above low_freq_factor 4 (got 1)",
               R"("rope_parameters": {"rope_type": "llama3", "factor": 2, "low_freq_factor": 4,
             "high_freq_factor": 1})");
}

// Every kind, with every key that it reads.
TEST(HfRope, WhatIsWrittenComesBack) {
  const RopeConfig kinds[] = {{.theta = 5e5},
                              {.scaling = RopeScaling::linear, .factor = 2.5},
                              {.theta = 1e6,
                               .scaling = RopeScaling::llama3,
                               .factor = 32,
                               .original_context = 8192,
                               .low_freq_factor = 1.5,
                               .high_freq_factor = 6},
                              {.scaling = RopeScaling::yarn, .factor = 4, .original_context = 4096},
                              {.scaling = RopeScaling::yarn,
                               .factor = 40,
                               .original_context = 2048,
                               .beta_fast = 16,
                               .beta_slow = 2,
                               .attention_factor = 1.25,
                               .mscale = 0.7,
                               .mscale_all_dim = 0.9,
                               .truncate = false}};
  for (const RopeConfig& kind : kinds) {
    JsonWriter out;
    out.begin_object();
    hf::write_rope(kind, out);
    out.end_object();
    const std::string text = out.finish();
    EXPECT_EQ(hf::read_rope(JsonFields::parse(text), 10000.0, 512), kind) << text;
  }
}

}  // namespace
}  // namespace nibble
