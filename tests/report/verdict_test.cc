#include "nibble/report/verdict.h"

#include <gtest/gtest.h>

#include <cmath>

#include "nibble/report/sections.h"
#include "tests/report/invented_report.h"

namespace nibble {
namespace {

using testing::invented_model;
using testing::invented_models;

Measurement with_change(double change, double error) {
  return invented_model("q", "int8", 8, change, error, 0.001, 100);
}

TEST(Verdict, IsOfTwoStandardErrors) {
  EXPECT_EQ(judge_cost(with_change(0.0004, 0.0003)), Cost::none);
  EXPECT_EQ(judge_cost(with_change(0.0007, 0.0003)), Cost::small);
  EXPECT_EQ(judge_cost(with_change(-0.5, 0.0003)), Cost::none);
  EXPECT_EQ(judge_cost(with_change(0, 0)), Cost::none);
  EXPECT_EQ(judge_cost(with_change(0.0001, 0)), Cost::small);  // no error known: it is a change
  EXPECT_EQ(judge_cost(with_change(0.03, 0.001)), Cost::noticeable);
  EXPECT_EQ(judge_cost(with_change(0.06, 0.001)), Cost::heavy);
  EXPECT_EQ(judge_cost(with_change(0.06, 0.04)), Cost::none);  // too little text to tell
}

TEST(Verdict, SaysNothingOfWhatWasNotMeasured) {
  EXPECT_EQ(judge_cost(with_change(std::nan(""), 0.1)), Cost::unknown);
  EXPECT_EQ(judge_cost(with_change(0.1, std::nan(""))), Cost::unknown);
  Measurement m = with_change(0.1, 0.001);
  m.tokens = 0;
  EXPECT_EQ(judge_cost(m), Cost::unknown);
}

TEST(Headline, LeadsWithTheSmallestFileThatLosesNothing) {
  EXPECT_EQ(headline(invented_models()),
            "int8 per tensor is 3.9× smaller and costs +0.0004 nats a token: no measurable loss");
}

TEST(Headline, FollowsTheNumbers) {
  auto models = invented_models();
  for (Measurement& m : models) m.loss_difference_standard_error = 1e-6;
  // Now every change is measurable: the smallest of those under 1 % leads.
  EXPECT_EQ(headline(models),
            "int8 per tensor is 3.9× smaller and costs +0.0004 nats a token: a small "
            "loss, 0.04% in perplexity");
  models.resize(1);
  models.push_back(invented_model("int2", "int2:g16", 3, 1.31, 0.03, 1, 10));
  EXPECT_EQ(headline(models),
            "int2 is 10.0× smaller and costs +1.3100 nats a token: a heavy loss, 271% in "
            "perplexity");
  models[1].loss_difference = -0.01;
  EXPECT_EQ(headline(models),
            "int2 is 10.0× smaller and changes the loss by -0.0100 nats a token: no "
            "measurable loss");
  models.resize(1);
  EXPECT_EQ(headline(models), "Nothing was compared");
  EXPECT_EQ(headline({}), "Nothing was compared");
}

TEST(SpeedWords, SayFasterOnlyWhereItIs) {
  auto models = invented_models();
  EXPECT_NE(speed_words(models).find("is not faster than f32 here, it is slower"),
            std::string::npos);
  EXPECT_NE(lede(models).find("<strong>not faster</strong>"), std::string::npos);
  EXPECT_NE(speed_words(models).find("113 KiB"),
            std::string::npos);  // why: the weights fit in a cache
  testing::time_against(models[2], 2e6, 955e3);
  EXPECT_NE(speed_words(models).find("int8 is faster than f32 here"), std::string::npos);
  EXPECT_EQ(speed_words(models).find("not faster"), std::string::npos);
  EXPECT_EQ(lede(models).find("not faster"), std::string::npos);
}

TEST(SpeedWords, DoNotBlameTheCacheOfALargeModel) {
  auto models = invented_models();
  models[0].weight_bytes = int64_t{500} << 20;
  EXPECT_NE(speed_words(models).find("unexpected"), std::string::npos);
}

TEST(Colours, FollowTheBitsOfTheScheme) {
  EXPECT_EQ(code_bits("int4:g128:a8"), 4);
  EXPECT_EQ(code_bits("f32"), 32);
  EXPECT_EQ(code_bits("bf16"), 16);
  EXPECT_EQ(code_bits("nf4:g64"), 4);
  EXPECT_EQ(code_bits("fp8_e4m3"), 8);
  EXPECT_EQ(code_bits("ternary"), 2);
  EXPECT_EQ(code_bits(""), 0);
  EXPECT_EQ(code_bits("mixed"), 0);
}

}  // namespace
}  // namespace nibble
