// What `nibble auto` tells of its choice: on a terminal, as JSON, as a page.
#include "nibble/report/auto_report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/report/markup.h"

namespace nibble {
namespace {

using nlohmann::json;

MatrixCosts matrix(const std::string& name, double kl) {
  MatrixCosts out{name, 4096, {}};
  for (const char* scheme : {"int4:g32", "int8"}) {
    const double share = out.costs.empty() ? 1 : 1.0 / 256;
    out.costs.push_back(
        {parse_scheme(scheme), out.costs.empty() ? 2304 : 4224, kl * share, share, share == 1});
  }
  return out;
}

AutoResult invented_auto(const std::string& name = "layers.1.mlp.fc1.weight") {
  AutoResult r;
  r.matrices = {matrix("layers.0.mlp.fc1.weight", 0.0123), matrix(name, 0.25)};
  r.frontier = {{{0, 0}, 4.5, 0.2623, 0.26}, {{0, 1}, 6.375, 0.0133, 0.0131}};
  r.choice = r.frontier[1];
  r.measured_kl = 0.0151;
  r.measured_kl_standard_error = 0.0007;
  r.written.bits_per_weight = 6.375;
  r.written.file_bytes = 6528;
  r.options.method = "yaqa";
  r.options.tuning.damping = 0.03;
  return r;
}

TEST(AutoTerminal, NamesTheSchemeThatWasChosenForEachMatrix) {
  const std::string text = auto_terminal(invented_auto());
  EXPECT_NE(text.find("yaqa: 6.375 bits a weight, 6528 bytes; KL 0.0151 ± 0.0007"),
            std::string::npos)
      << text;
  EXPECT_NE(
      text.find("layers.0.mlp.fc1.weight                      int4:g32       KL alone 0.0123"),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("layers.1.mlp.fc1.weight                      int8           KL alone "
                      "0.000977"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("         6.38         0.0133\n"), std::string::npos) << text;
}

TEST(AutoJson, HasTheChoiceTheFrontierAndEveryCost) {
  const json j = json::parse(auto_json(invented_auto()));
  EXPECT_EQ(j.at("bits_per_weight"), 6.375);
  EXPECT_EQ(j.at("file_bytes"), 6528);
  EXPECT_EQ(j.at("method"), "yaqa");
  EXPECT_EQ(j.at("damping"), 0.03);
  EXPECT_EQ(j.at("predicted_kl"), 0.0133);
  EXPECT_EQ(j.at("lower_bound"), 0.0131);
  EXPECT_EQ(j.at("measured_kl"), 0.0151);
  ASSERT_EQ(j.at("frontier").size(), 2u);
  EXPECT_EQ(j.at("frontier")[0].at("bits_per_weight"), 4.5);
  ASSERT_EQ(j.at("matrices").size(), 2u);
  EXPECT_EQ(j.at("matrices")[0].at("scheme"), "int4:g32");
  const json& other = j.at("matrices")[1];
  EXPECT_EQ(other.at("scheme"), "int8");
  ASSERT_EQ(other.at("costs").size(), 2u);
  EXPECT_EQ(other.at("costs")[0].at("bytes"), 2304);
  EXPECT_EQ(other.at("costs")[0].at("kl"), 0.25);
  EXPECT_EQ(other.at("costs")[0].at("measured"), true);
  EXPECT_EQ(other.at("costs")[1].at("measured"), false);
}

TEST(AutoHtml, IsAWholePageWithAMarkForEveryBudget) {
  const std::string page = auto_html(invented_auto(), "my-model");
  EXPECT_EQ(testing::markup_fault(page), "");
  EXPECT_EQ(page.substr(0, 15), "<!DOCTYPE html>");
  EXPECT_NE(page.find("4.50 bits: 0.262"), std::string::npos);
  EXPECT_NE(page.find("made and measured"), std::string::npos);
  EXPECT_NE(page.find("my-model: yaqa: 6.375 bits"), std::string::npos);
}

TEST(AutoHtml, EscapesNames) {
  const std::string page = auto_html(invented_auto("<script>alert(1)</script>"), "a<b>&\"c");
  EXPECT_EQ(testing::markup_fault(page), "");
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  EXPECT_NE(page.find("a&lt;b&gt;&amp;"), std::string::npos);
}

TEST(AutoHtml, SurvivesNumbersThatAreNone) {
  AutoResult r = invented_auto();
  r.measured_kl = r.measured_kl_standard_error = NAN;
  r.frontier[0].predicted_kl = INFINITY;
  r.frontier[1].predicted_kl = 0;
  EXPECT_EQ(testing::markup_fault(auto_html(r, "m")), "");
  EXPECT_EQ(json::parse(auto_json(r)).at("measured_kl"), nullptr);
}

}  // namespace
}  // namespace nibble
