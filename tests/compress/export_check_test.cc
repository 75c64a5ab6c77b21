// What was written is read back before it appears.
#include "nibble/compress/export_check.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <filesystem>

#include "nibble/compress/model_output.h"
#include "nibble/compress/quantize.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::expect_error;

const std::string kChecked = "model.layers.0.mlp.up_proj.weight";

// All of a model, noted as `expected` has it.
std::vector<WritableParameter> noted(const Model& written, const Model& expected,
                                     ExportCheck& check) {
  std::vector<WritableParameter> out;
  for (const ParamSpec& p : parameter_table(written.config)) {
    out.push_back({p, std::nullopt, DType::f32, [&, p] {
                     check.note(p.name, load_weight(expected, p), 1);
                     return load_weight(written, p);
                   }});
  }
  return out;
}

std::string no_words(int64_t) { return "{}"; }

class ExportChecked : public testing::TestWithParam<std::string> {};

TEST_P(ExportChecked, WhatDiffersByABitDoesNotAppear) {
  const test::TempFolder folder;
  const Model expected = tiny_decoder(blocky_decoder_config(2), 3);
  TensorMap weights;
  for (const ParamSpec& p : parameter_table(expected.config))
    weights.emplace(p.name, expected.weights->get(p.name).plain().clone());
  float& one = weights.at(kChecked).mutable_data<float>()[777];
  one = std::nextafter(one, 1.0f);
  const Model other =
      in_memory(expected.config, weights, CharTokenizer::from_text(kTinyText, true));
  const std::string out = folder / GetParam();
  std::vector<std::string> said;
  ExportCheck check;
  const auto wrong = noted(other, expected, check);
  expect_error(ErrorKind::io, kChecked, [&] {
    ModelOutput(output_targets(out, {}).front(), false)
        .write({other, wrong, check}, no_words, said, {});
  });
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  ExportCheck right;
  const auto parameters = noted(expected, expected, right);
  ModelOutput(output_targets(out, {}).front(), false)
      .write({expected, parameters, right}, no_words, said, {});
  EXPECT_EQ(open_model(out).weights->get(kChecked).values(),
            expected.weights->get(kChecked).values());
}
INSTANTIATE_TEST_SUITE_P(FoldersAndFiles, ExportChecked, testing::Values("folder", "a.gguf"));

TEST(ExportCheck, TellsHowFarItIsAndStops) {
  const Model model = tiny_decoder(blocky_decoder_config(1), 3);
  ExportCheck check;
  for (const WritableParameter& p : noted(model, model, check)) p.make();
  std::atomic<int> signal = 0;
  int64_t told = 0, total = 0;
  Exec exec;
  exec.stop_signal = &signal;
  exec.progress = [&](const Progress& p) {
    told = p.done;
    total = p.total;
  };
  check.require_same(model, exec);
  EXPECT_EQ(told, std::ssize(parameter_table(model.config)));
  EXPECT_EQ(told, total);
  signal = 2;
  expect_error(ErrorKind::cancelled, "", [&] { check.require_same(model, exec); });
}

TEST(ExportCheck, TokenizersThatDifferAreTold) {
  const std::string models = "../shared/data/models/";
  if (test::lacks_shared(models)) GTEST_SKIP() << models;
  const Model a = open_model(models + "llama-shakespeare"), b = open_model(models + "stories260k");
  EXPECT_EQ(tokenizer_difference(a, a), "");
  EXPECT_NE(tokenizer_difference(a, b).find("makes other ids"), std::string::npos);
  Model without = a;
  without.companions = nullptr;
  EXPECT_EQ(tokenizer_difference(a, without), "");
}

TEST(ExportCheck, VerifyingRunsBothModels) {
  const std::string path = "../shared/data/models/stories260k";
  if (test::lacks_shared(path)) GTEST_SKIP() << path;
  const test::TempFolder folder;
  QuantizeOptions options;
  options.scheme = parse_scheme("int4:g32");
  options.verify = true;
  const QuantizeResult r = quantize_model(path, folder / "out.gguf", options, {});
  ASSERT_TRUE(r.verified.has_value());
  EXPECT_GT(r.verified->tokens, 400);
  EXPECT_GT(r.verified->kl_mean, 1e-4);
  EXPECT_LT(r.verified->kl_mean, 1);
  EXPECT_LT(r.verified->top1_agreement, 1);
  options.scheme = parse_scheme("f32");
  EXPECT_EQ(quantize_model(path, folder / "same", options, {}).verified->kl_mean, 0);
}

}  // namespace
}  // namespace nibble
