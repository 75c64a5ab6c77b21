// Where activations have outliers and what helps: on a terminal, as JSON, as a page.
#include "nibble/report/activation_report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/report/markup.h"

namespace nibble {
namespace {

using nlohmann::json;

InputStudy input(int layer, const std::string& stage, std::vector<OutlierChannel> outliers) {
  InputStudy s;
  s.layer = layer;
  s.stage = stage;
  s.tensor = stage + ".weight";
  s.channels = 64;
  s.rows = 1000;
  s.deviation = 1.25;
  s.absmax = outliers.empty() ? 3.5 : outliers.front().absmax;
  s.beyond_magnitude = std::ssize(outliers);
  s.outliers = std::move(outliers);
  s.errors = {0.0001, 0.04, 0.03, 0.02, 0.001, 0.005, -1};
  return s;
}

ActivationStudy invented() {
  ActivationStudy study;
  study.source = "book.txt";
  study.tokens = 2000;
  const OutlierChannel wide{7, 41.5, 0.5}, other{9, 12, 0.01};
  study.inputs = {input(0, "attention", {wide}),
                  input(0, "attention out", {}),
                  input(0, "mlp", {wide}),
                  input(0, "mlp out", {{7, 20, 0.1}}),
                  input(1, "attention", {wide, other}),
                  input(2, "attention", {wide})};
  study.inputs.back().errors[static_cast<size_t>(Remedy::rescaled)] = -1;
  study.inputs.back().note = "no producer";
  return study;
}

TEST(ActivationTerminal, CountsInputsAndChannels) {
  const std::string text = activation_terminal(invented());
  EXPECT_NE(text.find("5 of 6 inputs have channels beyond 6 (6 channels); book.txt, 2000 tokens"),
            std::string::npos)
      << text;
}

// Attention and MLP read one residual stream, so channel 7 of both is one; the MLP's inner channel
// of the same number is another.
TEST(ActivationTerminal, AChannelOfTheResidualStreamIsOneChannel) {
  const std::string text = activation_terminal(invented());
  EXPECT_NE(text.find("      7    41.50  attention of layer 0-2; mlp of layer 0\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("      7    20.00  mlp out of layer 0\n"), std::string::npos) << text;
  EXPECT_NE(text.find("      9    12.00  attention of layer 1\n"), std::string::npos) << text;
}

TEST(ActivationTerminal, HasADashWhereARemedyDoesNotApply) {
  const std::string text = activation_terminal(invented());
  const size_t row = text.find("2 attention");
  ASSERT_NE(row, std::string::npos);
  const std::string line = text.substr(row, text.find('\n', row) - row);
  EXPECT_EQ(line.substr(line.size() - 1), "-") << line;
}

// No error at all would be the best of remedies.
TEST(ActivationTerminal, ARemedyThatAppliesNowhereLeavesNoShare) {
  const std::string text = activation_terminal(invented()),
                    means = text.substr(text.find("over their own squares"));
  const auto line_of = [&](Remedy r) {
    const size_t at = means.find("\n  " + std::string(text_of(r).name));
    return at == std::string::npos ? "" : means.substr(at + 1, means.find('\n', at + 1) - at - 1);
  };
  EXPECT_NE(line_of(Remedy::llm_int8).find("         -  "), std::string::npos) << means;
  EXPECT_NE(line_of(Remedy::none).find("    4.000%  "), std::string::npos) << means;
  EXPECT_NE(activation_html(invented(), "m").find("<td>-</td><td>n/a</td>"), std::string::npos);
}

TEST(ActivationTerminal, SaysThatThereIsNone) {
  ActivationStudy study = invented();
  study.inputs = {input(0, "attention", {})};
  EXPECT_NE(activation_terminal(study).find("none beyond either limit"), std::string::npos);
  EXPECT_NE(activation_html(study, "m").find("No channel goes beyond either limit."),
            std::string::npos);
}

// A mean is over the inputs that a remedy applies to.
TEST(ActivationJson, MeansAreOverWhatApplies) {
  ActivationStudy study = invented();
  study.inputs[0].errors[static_cast<size_t>(Remedy::rescaled)] = 0.015;
  const json j = json::parse(activation_json(study));
  const json& means = j.at("mean_output_error");
  EXPECT_NEAR(means.at(text_of(Remedy::rescaled).name), (0.015 + 4 * 0.005) / 5, 1e-12);
  EXPECT_NEAR(means.at(text_of(Remedy::none).name), 0.04, 1e-12);
  EXPECT_EQ(means.at(text_of(Remedy::llm_int8).name), nullptr) << "it applies nowhere";
  ASSERT_EQ(j.at("inputs").size(), 6u);
  const json& last = j.at("inputs")[5];
  EXPECT_EQ(last.at("output_error").at(text_of(Remedy::rescaled).name), nullptr);
  EXPECT_EQ(last.at("note"), "no producer");
  EXPECT_EQ(last.at("outlier_channels")[0].at("channel"), 7);
  EXPECT_EQ(j.at("tokens"), 2000);
}

TEST(ActivationHtml, IsAWholePageWithNamesEscaped) {
  ActivationStudy study = invented();
  study.source = "<b>.txt";
  const std::string page = activation_html(study, "a&b");
  EXPECT_EQ(testing::markup_fault(page), "");
  for (const char* part : {"id=\"where\"", "id=\"remedies\"", "id=\"channels\"", "id=\"inputs\"",
                           "&lt;b&gt;.txt", "a&amp;b"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  study.inputs[1].absmax = NAN;
  study.inputs[2].errors.fill(INFINITY);
  EXPECT_EQ(testing::markup_fault(activation_html(study, "m")), "");
  EXPECT_EQ(testing::markup_fault(activation_html({}, "m")), "") << "nothing was studied";
}

}  // namespace
}  // namespace nibble
