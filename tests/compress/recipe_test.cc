// A recipe has every option, and gives back what was written.
#include "nibble/compress/recipe.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

class Recipe : public testing::Test {
 protected:
  QuantizeOptions read_text(const std::string& text) const {
    test::put_file(files_ / "recipe.json", text);
    return read_recipe(files_ / "recipe.json");
  }
  QuantizeOptions written_and_read(const QuantizeOptions& o) const {
    JsonWriter out;
    out.begin_object();
    write_recipe(o, out);
    out.end_object();
    return read_text(out.finish());
  }
  // A recipe of int8 with one more option.
  QuantizeOptions with(const std::string& more) const {
    return read_text(R"({"scheme": "int8", )" + more + "}");
  }

  test::TempFolder files_;
};

TEST_F(Recipe, EveryOptionComesBack) {
  QuantizeOptions o;
  o.scheme = parse_scheme("int4:g32:asym"), o.scale_dtype = DType::bf16, o.method = "awq+gptq";
  o.half_step_divisor = true, o.correction = 0.25, o.correction_damping = 0.5;
  o.inputs = CalibrationInputs::quantized, o.outlier_threshold = 7.5;
  o.calibration = {"a text.txt", 33, 65, uint64_t{5'000'000'000}};
  o.importance_file = "a.gguf";
  o.tuning.clip = true, o.tuning.damping = 0.03, o.tuning.act_order = false;
  o.tuning.sweeps = 9, o.tuning.steps = 11;
  o.training = {7, 5, 3, 0.25, 0.125};
  o.keep = {{"wte*", DType::f16}, {"*.o", std::nullopt}};
  o.set = {{"layers.0.*", parse_scheme("int8:a8")}, {"a=b", parse_scheme("nf4:g64")}};
  o.also = {"lm_head", "embeddings"};
  const QuantizeOptions found = written_and_read(o);
  EXPECT_EQ(found.scheme, o.scheme);
  EXPECT_EQ(found.scale_dtype, DType::bf16);
  EXPECT_EQ(found.method, "awq+gptq");
  EXPECT_TRUE(found.half_step_divisor);
  EXPECT_EQ(found.correction, 0.25);
  EXPECT_EQ(found.correction_damping, 0.5);
  EXPECT_EQ(found.inputs, CalibrationInputs::quantized);
  EXPECT_EQ(found.outlier_threshold, 7.5);
  EXPECT_EQ(found.calibration.text, "a text.txt");
  EXPECT_EQ(found.calibration.samples, 33);
  EXPECT_EQ(found.calibration.length, 65);
  EXPECT_EQ(found.importance_file, "a.gguf");
  EXPECT_EQ(found.calibration.seed, 5'000'000'000) << "a seed may be larger than other numbers";
  EXPECT_TRUE(found.tuning.clip);
  EXPECT_EQ(found.tuning.damping, 0.03);
  EXPECT_FALSE(found.tuning.act_order);
  EXPECT_EQ(found.tuning.sweeps, 9);
  EXPECT_EQ(found.training.samples, 7);
  EXPECT_EQ(found.training.epochs, 5);
  EXPECT_EQ(found.training.batch, 3);
  EXPECT_EQ(found.training.rate, 0.25);
  EXPECT_EQ(found.training.scale_rate, 0.125);
  EXPECT_EQ(found.tuning.steps, 11);
  ASSERT_EQ(found.keep.size(), 2u);
  EXPECT_EQ(found.keep[0].pattern, "wte*");
  EXPECT_EQ(found.keep[0].dtype, DType::f16);
  EXPECT_EQ(found.keep[1].pattern, "*.o");
  EXPECT_EQ(found.keep[1].dtype, std::nullopt);
  ASSERT_EQ(found.set.size(), 2u);
  EXPECT_EQ(found.set[0].pattern, "layers.0.*");
  EXPECT_EQ(to_string(found.set[0].scheme), "int8:a8");
  EXPECT_EQ(found.set[1].pattern, "a=b") << "a pattern may hold the sign, a scheme not";
  EXPECT_EQ(found.also, o.also);
}

TEST_F(Recipe, WhatIsNotSaidIsTheDefault) {
  const QuantizeOptions found = read_text(R"({"scheme": "int8"})"), none;
  EXPECT_EQ(found.method, none.method);
  EXPECT_EQ(found.scale_dtype, none.scale_dtype);
  EXPECT_EQ(found.inputs, none.inputs);
  EXPECT_EQ(found.calibration.seed, none.calibration.seed);
  EXPECT_EQ(found.tuning.sweeps, none.tuning.sweeps);
  EXPECT_TRUE(found.keep.empty() && found.set.empty() && found.also.empty());
}

TEST_F(Recipe, ValuesThatAreNoneAreRefusedByTheirKey) {
  const auto corrupt = [&](std::string_view words, const std::string& more) {
    expect_error(ErrorKind::corrupt, words, [&] { with(more); });
  };
  corrupt("key \"scale_dtype\": \"int8\": use f16, bf16 or f32", R"("scale_dtype": "int8")");
  corrupt("key \"scale_dtype\": \"half\"", R"("scale_dtype": "half")");
  corrupt("key \"sweeps\": expected a number from 0 to 2147483648, found -1", R"("sweeps": -1)");
  corrupt("key \"steps\": expected a number from 0 to 2147483648, found 2147483649",
          R"("steps": 2147483649)");
  corrupt("key \"seed\": expected a number from 0", R"("seed": -1)");
  corrupt("key \"clip\"", R"("clip": 1)");
  corrupt("key \"damping\"", R"("damping": "0.1")");
  corrupt("key \"shape\": not an option of a recipe; there are scheme, scale_dtype",
          R"("shape": 1)");
  expect_error(ErrorKind::invalid_argument, "inputs \"raw\": use quantized or corrected",
               [&] { with(R"("inputs": "raw")"); });
  expect_error(ErrorKind::corrupt, "scheme", [&] { read_text("{}"); });
}

TEST(Rules, OfTensorsAreReadFromTheirText) {
  EXPECT_EQ(parse_keep_rule("wte").pattern, "wte");
  EXPECT_EQ(parse_keep_rule("wte").dtype, std::nullopt);
  EXPECT_EQ(parse_keep_rule("*.o=bf16").pattern, "*.o");
  EXPECT_EQ(parse_keep_rule("*.o=bf16").dtype, DType::bf16);
  EXPECT_EQ(to_string(parse_set_rule("a*=int4:g32").scheme), "int4:g32");
  for (const char* bad : {"wte=int8", "wte=", "wte=f16=f16", "=f64"})
    expect_error(ErrorKind::invalid_argument, bad, [&] { parse_keep_rule(bad); });
  for (const char* bad : {"wte", "=int8", ""})
    expect_error(ErrorKind::invalid_argument, "PATTERN=SCHEME", [&] { parse_set_rule(bad); });
  expect_error(ErrorKind::invalid_argument, "int99", [] { parse_set_rule("wte=int99"); });
}

}  // namespace
}  // namespace nibble
