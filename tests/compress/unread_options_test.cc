// Which options a method would ignore.
#include "nibble/compress/unread_options.h"

#include <gtest/gtest.h>

#include "nibble/compress/method_chain.h"

namespace nibble {
namespace {

const std::vector<std::string> kAll = {"calibration_text",
                                       "calibration_samples",
                                       "calibration_length",
                                       "seed",
                                       "inputs",
                                       "damping",
                                       "sweeps",
                                       "half_step_divisor",
                                       "act_order",
                                       "clip",
                                       "outlier_threshold",
                                       "scheme"};
const std::vector<std::string> kTraining = {"training_samples", "training_epochs", "training_batch",
                                            "training_rate", "training_scale_rate"};

// The options named in front of the colon.
std::string unread(const std::string& method, const std::string& scheme) {
  QuantizeOptions o;
  o.method = method;
  o.scheme = parse_scheme(scheme);
  const std::string said = unread_options(o, kAll);
  return said.substr(0, said.find(':'));
}

TEST(UnreadOptions, OfEveryKindOfMethod) {
  EXPECT_EQ(unread("rtn", "int4:g16"),
            "`calibration_text`, `calibration_samples`, `calibration_length`, `seed`, `inputs`, "
            "`damping`, `sweeps`, `act_order`, "
            "`outlier_threshold`");
  EXPECT_EQ(unread("rotate", "int4:g16"),
            "`calibration_text`, `calibration_samples`, `calibration_length`, `inputs`, `damping`, "
            "`sweeps`, `act_order`, "
            "`outlier_threshold`");
  EXPECT_EQ(unread("rtn", "int8:a8static"),
            "`inputs`, `damping`, `sweeps`, `act_order`, `outlier_threshold`");
  EXPECT_EQ(unread("awq", "int4:g16"),
            "`damping`, `sweeps`, `act_order`, `clip`, `half_step_divisor`, `outlier_threshold`");
  EXPECT_EQ(unread("gptq", "int4:g16"), "`clip`, `half_step_divisor`, `outlier_threshold`");
  EXPECT_EQ(unread("awq+yaqa", "int4:g16"), "`clip`, `half_step_divisor`, `outlier_threshold`");
  EXPECT_EQ(unread("llm_int8", "int8"), "`inputs`, `clip`, `half_step_divisor`");
  EXPECT_EQ(unread("hqq", "int4:g16"),
            "`calibration_text`, `calibration_samples`, `calibration_length`, `seed`, `inputs`, "
            "`damping`, `sweeps`, `act_order`, "
            "`clip`, `half_step_divisor`, `outlier_threshold`");
  EXPECT_EQ(unread("rtn", "bf16").find("`calibration_text`"), 0U);
}

TEST(UnreadOptions, OfTraining) {
  EXPECT_EQ(unread("rtn+qat", "int4:g16"),
            "`inputs`, `damping`, `sweeps`, `act_order`, `outlier_threshold`");
  QuantizeOptions o;
  o.scheme = parse_scheme("int4:g16");
  o.method = "yaqa+qat";
  EXPECT_EQ(unread_options(o, kTraining), "");
  EXPECT_TRUE(reads_text(o));
  o.method = "yaqa";
  EXPECT_EQ(unread_options(o, kTraining).find("`training_samples`, `training_epochs`"), 0U);
}

TEST(UnreadOptions, OnlyThoseThatWereGiven) {
  QuantizeOptions o;
  o.scheme = parse_scheme("int8");
  const std::vector<std::string> one = {"damping", "scheme"};
  EXPECT_EQ(unread_options(o, one),
            "`damping`: without effect, since method rtn in scheme int8 does not read it");
  EXPECT_EQ(unread_options(o, {}), "");
  o.method = "gptq";
  EXPECT_EQ(unread_options(o, one), "");
}

TEST(UnreadOptions, ASchemeSetForSomeTensorsCounts) {
  QuantizeOptions o;
  o.scheme = parse_scheme("int8");
  o.set.push_back(parse_set_rule("a=int8:a8static"));
  o.set.push_back(parse_set_rule("b=int8:a8outlier"));
  EXPECT_TRUE(reads_text(o));
  const std::vector<std::string> given = {"calibration_text", "outlier_threshold"};
  EXPECT_EQ(unread_options(o, given), "");
}

TEST(UnreadOptions, WhatASchemeHasNoUseFor) {
  const std::vector<std::string> given = {"half_step_divisor", "scale_dtype"};
  const auto said = [&](const std::string& scheme, const std::string& set = "") {
    QuantizeOptions o;
    o.scheme = parse_scheme(scheme);
    if (!set.empty()) o.set.push_back(parse_set_rule("a=" + set));
    const std::string text = unread_options(o, given);
    return text.substr(0, text.find(':'));
  };
  EXPECT_EQ(said("int8"), "");
  EXPECT_EQ(said("f16"), "`half_step_divisor`, `scale_dtype`");
  EXPECT_EQ(said("f16", "int8"), "");
  EXPECT_EQ(said("int4:asym"), "`half_step_divisor`");
  EXPECT_EQ(said("int4:asym", "int8"), "");
  EXPECT_EQ(said("fp8_e4m3"), "`half_step_divisor`");
  // A matrix that a group does not divide becomes int8, which reads both.
  EXPECT_EQ(said("nf4"), "");
  EXPECT_EQ(said("int4:g32:asym"), "");
}

}  // namespace
}  // namespace nibble
