// yaqa on every architecture and on models at the edge of what can be calibrated.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>

#include "nibble/compress/quantize.h"
#include "nibble/core/files.h"
#include "nibble/nn/losses.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

CalibrationText text_for(const DecoderConfig& config, int samples, int64_t length) {
  CalibrationText text;
  text.source = "random";
  PyRandom random(11);
  for (int s = 0; s < samples; ++s) {
    text.samples.emplace_back();
    for (int64_t t = 0; t < std::min(length, config.context); ++t)
      text.samples.back().push_back(
          static_cast<int32_t>(random.random() * static_cast<double>(config.vocab_size)));
  }
  return text;
}

Model quantized(const Model& model, const std::string& method, const std::string& scheme,
                const CalibrationText& text) {
  QuantizeOptions options;
  options.scheme = parse_scheme(scheme);
  options.method = method;
  return quantize_in_memory(model, options, Exec{}, {&text});
}

void expect_finite(const Model& made, const std::string& what) {
  for (const float v : logits_of_tokens(made, {0, 0, 0, 0})) ASSERT_TRUE(std::isfinite(v)) << what;
}

class YaqaOn : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, YaqaOn,
                         testing::Values("micro_gpt", "gpt2", "llama", "mistral", "qwen2", "qwen3",
                                         "opt", "mixtral", "gemma2", "lfm2"),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(YaqaOn, MakesModelsInEveryScheme) {
  const DecoderConfig config = tiny_decoder_config(GetParam());
  const Model model = tiny_decoder(config, 21);
  const CalibrationText text = text_for(config, 24, 16);
  const bool rotates = config.norm != NormKind::layer && !config.post_norms;
  for (const char* method : {"yaqa", "awq+yaqa", rotates ? "rotate+yaqa" : "smoothquant+yaqa"}) {
    for (const char* scheme : {"int2:g8", "int3", "int4:g4:asym", "int8:tensor", "ternary:g8",
                               "int4:g16:a8", "int5:a8static"}) {
      const std::string what = std::string(GetParam()) + " " + method + " " + scheme;
      try {
        expect_finite(quantized(model, method, scheme, text), what);
      } catch (const Error& e) {
        ADD_FAILURE() << what << ": " << e.what();
      }
    }
  }
}

TEST(Yaqa, ARotationThatCannotBeIsRefusedBeforeAnyWork) {
  const Model model = tiny_decoder(tiny_decoder_config("gpt2"), 21);
  QuantizeOptions options;
  options.scheme = parse_scheme("int4:g8");
  options.method = "awq+rotate+yaqa";
  Exec exec;
  exec.progress = [](const Progress& p) { ADD_FAILURE() << "began to " << p.task; };
  test::expect_error(ErrorKind::unsupported, "rotate needs RMSNorm",
                     [&] { quantize_in_memory(model, options, exec); });
}

TEST_P(YaqaOn, TakesVocabulariesOfOneAndTwo) {
  for (const int64_t vocabulary : {1, 2}) {
    DecoderConfig config = tiny_decoder_config(GetParam());
    config.vocab_size = vocabulary;
    const Model model = tiny_decoder(config, 22);
    const CalibrationText text = text_for(config, 8, 16);
    expect_finite(quantized(model, "yaqa", "int3:g8", text), GetParam());
  }
}

TEST_P(YaqaOn, TakesOneSampleOfOneOrTwoTokens) {
  const DecoderConfig config = tiny_decoder_config(GetParam());
  const Model model = tiny_decoder(config, 23);
  for (const int64_t length : {1, 2})
    expect_finite(quantized(model, "yaqa", "int4:g8", text_for(config, 1, length)), GetParam());
}

// Small models as transformers made them: experts, softcaps, convolutions.
double judged_error(const Model& model, const Model& made, const std::string& name,
                    const OutputMetric& metric) {
  const std::vector<float> w = model.weights->get(name).values(),
                           q = made.weights->get(name).values();
  const auto k = static_cast<size_t>(metric.n());
  double sum = 0;
  for (size_t row = 0; row < w.size(); row += k)
    for (size_t i = 0; i < k; ++i)
      for (size_t j = 0; j < k; ++j)
        sum += static_cast<double>(w[row + i] - q[row + i]) * metric.blocks[0][i * k + j] *
               (w[row + j] - q[row + j]);
  return sum;
}

// A table that is covered is rounded for what the model makes of its rows; gptq knows nothing of
// that.
TEST(Yaqa, RoundsTheTableByGradients) {
  const DecoderConfig config = blocky_decoder_config(2);
  const Model model = tiny_decoder(config, 11);
  const CalibrationText text = text_for(config, 8, 32);
  const std::string table = "model.embed_tokens.weight";
  const OutputMetric metric = output_metrics(model, text, {}, Exec{}).at(table);
  std::map<std::string, double> errors;
  for (const char* method : {"gptq", "yaqa"}) {
    for (const char* scheme : {"q4_k", "int4:g32"}) {
      QuantizeOptions options;
      options.scheme = parse_scheme(scheme);
      options.method = method;
      options.also = {"embeddings"};
      const Model made = quantize_in_memory(model, options, Exec{}, {&text});
      EXPECT_EQ(made.weights->get(table).stored_as(), scheme);
      errors[std::string(method) + scheme] = judged_error(model, made, table, metric);
    }
  }
  EXPECT_LT(errors["yaqaq4_k"], 0.8 * errors["gptqq4_k"]);
  EXPECT_LT(errors["yaqaint4:g32"], 0.8 * errors["gptqint4:g32"]);
}

// It is reported like any other weight.
TEST(Yaqa, TellsWhatBecameOfTheTable) {
  const test::TempFolder folder;
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  DecoderConfig config = blocky_decoder_config(1);
  config.vocab_size = tokenizer.vocab_size();
  std::filesystem::create_directories(folder / "in");
  write_model(folder / "in", config, random_weights(config, 11), &tokenizer);
  QuantizeOptions options;
  options.scheme = parse_scheme("int4:g32");
  options.method = "yaqa";
  options.also = {"embeddings"};
  options.calibration = {"", 16, 32, 42};
  const QuantizeResult r = quantize_model(folder / "in", folder / "out", options, {});
  const auto table = std::find_if(r.layers.begin(), r.layers.end(), [](const LayerReport& l) {
    return l.name == "model.embed_tokens.weight";
  });
  ASSERT_NE(table, r.layers.end());
  EXPECT_FALSE(table->fell_back);
  EXPECT_LT(table->error, table->rtn_error);
}

class YaqaOnArchs : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, YaqaOnArchs, testing::Values("mixtral", "gemma2", "lfm2"),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(YaqaOnArchs, LosesMuchLessThanRtn) {
  const std::string folder = std::string("../shared/data/archs/") + GetParam();
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no " << folder;
  const Model model = open_model(folder);
  const std::string words = read_file("../shared/data/text/shakespeare-val.txt");
  const auto ids = model.require_tokenizer().encode(words.substr(0, 40000), false);
  CalibrationText text;
  text.source = "plays";
  constexpr size_t kLength = 128, kSamples = 24, kHeldOut = 6;
  ASSERT_GE(ids.size(), kLength * (kSamples + kHeldOut));
  const auto part = [&](size_t i) {
    const auto first = ids.begin() + static_cast<int64_t>(i * kLength);
    return std::vector<int32_t>(first, first + static_cast<int64_t>(kLength));
  };
  for (size_t i = 0; i < kSamples; ++i) text.samples.push_back(part(i));
  std::map<std::string, double> lost;
  for (const char* method : {"rtn", "yaqa"}) {
    const Model made = quantized(model, method, "int4:g32", text);
    for (size_t i = kSamples; i < kSamples + kHeldOut; ++i)
      lost[method] +=
          kl_divergence(logits_of_tokens(model, part(i)), logits_of_tokens(made, part(i)));
  }
  EXPECT_GT(lost["yaqa"], 0);
  EXPECT_LT(lost["yaqa"], 0.7 * lost["rtn"]);
}

}  // namespace
}  // namespace nibble
