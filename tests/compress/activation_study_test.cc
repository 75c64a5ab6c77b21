// Outliers of inputs: found where they were put, and the remedies ranked as they must be.
#include "nibble/compress/activation_study.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "nibble/compress/quantize.h"
#include "nibble/report/activation_report.h"
#include "tests/support/expect_error.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

// A llama whose norm in front of layer 1's attention makes channel 5 `factor` times as large; what
// reads it makes it small again, so that its function stays.
Model with_outlier(float factor) {
  const DecoderConfig config = tiny_decoder_config("llama");
  TensorMap weights = random_weights(config, 3, 0.3);
  for (const ParamSpec& p : parameter_table(config)) {
    auto w = weights.at(p.name).mutable_data<float>();
    if (!p.is_matrix())
      for (float& v : w) v += 1;
    if (p.layer == 1 && p.role == Role::attn_norm) w[5] = factor;
    const bool reads = p.role == Role::q || p.role == Role::k || p.role == Role::v;
    if (p.layer != 1 || !reads) continue;
    for (int64_t r = 0; r < p.shape[0]; ++r) w[static_cast<size_t>(r * p.shape[1] + 5)] /= factor;
  }
  return in_memory(config, std::move(weights), CharTokenizer::from_text(kTinyText, true));
}

CalibrationText some_text() {
  CalibrationText out;
  out.source = "a test";
  PyRandom random(9);
  for (int s = 0; s < 4; ++s) {
    out.samples.emplace_back();
    for (int i = 0; i < 48; ++i)
      out.samples.back().push_back(static_cast<int32_t>(random.below(13)));
  }
  return out;
}

double error(const InputStudy& s, Remedy r) { return s.errors[static_cast<size_t>(r)]; }

TEST(ActivationStudy, FindsTheChannelAndRanksTheRemedies) {
  const Model model = with_outlier(200);
  const ActivationStudy study = study_activations(model, some_text(), 6, 6, Exec{});
  ASSERT_EQ(study.inputs.size(), 9U);  // four of each layer, and lm_head
  const InputStudy& s = study.inputs[4];
  EXPECT_EQ(s.layer, 1);
  EXPECT_EQ(s.stage, "attention");
  ASSERT_FALSE(s.outliers.empty());
  EXPECT_EQ(s.outliers[0].channel, 5);
  EXPECT_EQ(s.beyond_magnitude, 1);
  EXPECT_GT(s.outliers[0].share, 0.5);
  EXPECT_GT(s.absmax, 50);
  EXPECT_GT(error(s, Remedy::none), 4 * error(s, Remedy::llm_int8));
  EXPECT_GT(error(s, Remedy::none), 10 * error(s, Remedy::rescaled));
  EXPECT_LE(error(s, Remedy::rescaled), error(s, Remedy::per_token));
  EXPECT_LT(error(s, Remedy::per_token), error(s, Remedy::none));
  EXPECT_GT(s.exponent, 0);
}

TEST(ActivationStudy, WithoutOutliersThereIsNothingToSpare) {
  const ActivationStudy study = study_activations(with_outlier(1), some_text(), 1000, 1000, Exec{});
  for (const InputStudy& s : study.inputs) {
    EXPECT_TRUE(s.outliers.empty()) << s.tensor;
    EXPECT_EQ(error(s, Remedy::llm_int8), error(s, Remedy::per_token)) << s.tensor;
    EXPECT_GT(error(s, Remedy::none), error(s, Remedy::weights_only)) << s.tensor;
  }
}

TEST(ActivationStudy, NothingReadByGeluCanBeSmoothed) {
  const Model model = tiny_decoder(tiny_decoder_config("gpt2"), 4);
  const ActivationStudy study = study_activations(model, some_text(), 6, 6, Exec{});
  EXPECT_LT(error(study.inputs[3], Remedy::rescaled), 0);
  EXPECT_FALSE(study.inputs[3].note.empty());
  EXPECT_NE(activation_json(study).find("\"SmoothQuant\": null"), std::string::npos);
}

TEST(ActivationStudy, IsTheSameOnAnyNumberOfThreads) {
  const Model model = with_outlier(50);
  Exec two;
  two.threads = 2;
  EXPECT_EQ(activation_json(study_activations(model, some_text(), 6, 6, Exec{})),
            activation_json(study_activations(model, some_text(), 6, 6, two)));
}

TEST(ActivationStudy, ThePageHoldsNoMarkupFromOutside) {
  const ActivationStudy study = study_activations(with_outlier(50), some_text(), 6, 6, Exec{});
  const std::string page = activation_html(study, "<script>alert(1)</script>");
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  EXPECT_NE(page.find("LLM.int8"), std::string::npos);
  EXPECT_NE(activation_terminal(study).find("attention of layer 1"), std::string::npos);
}

// The weight to blame is named, not the first that reads what it made.
TEST(ActivationStudy, NamesTheWeightThatIsNotFinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  test::expect_error(ErrorKind::corrupt,
                     "tensor \"model.layers.1.input_layernorm.weight\": element 5 is infinite",
                     [&] { study_activations(with_outlier(infinity), some_text(), 6, 6, Exec{}); });
  test::expect_error(ErrorKind::corrupt,
                     "tensor \"model.layers.1.self_attn.q_proj.weight\": what it makes",
                     [&] { study_activations(with_outlier(3e38f), some_text(), 6, 6, Exec{}); });
}

TEST(ActivationStudy, RefusesAQuantizedModel) {
  const Model model = with_outlier(1);
  QuantizeOptions options;
  options.scheme = parse_scheme("int8");
  const Model quantized = quantize_in_memory(model, options, Exec{});
  test::expect_error(ErrorKind::unsupported, "look at the original",
                     [&] { study_activations(quantized, some_text(), 6, 6, Exec{}); });
}

}  // namespace
}  // namespace nibble
