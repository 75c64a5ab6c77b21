// Verdicts on both sides of every limit, and which model they are spoken of.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nibble/report/sections.h"
#include "nibble/report/verdict.h"
#include "tests/report/invented_report.h"
#include "tests/report/markup.h"

namespace nibble {
namespace {

using testing::invented_model;
using testing::time_against;

// A model whose perplexity rises by a share, certainly.
Measurement rising(double share, const std::string& name = "q", double bits = 8) {
  return invented_model(name, "int8", bits, std::log1p(share), 1e-9, 0.001, 100);
}

TEST(CostLimits, AreOnePercentAndFivePercentOfPerplexity) {
  EXPECT_EQ(judge_cost(rising(0.00999)), Cost::small);
  EXPECT_EQ(judge_cost(rising(0.01001)), Cost::noticeable);
  EXPECT_EQ(judge_cost(rising(0.04999)), Cost::noticeable);
  EXPECT_EQ(judge_cost(rising(0.05001)), Cost::heavy);
  Measurement m = rising(0.2);
  m.loss_difference_standard_error = m.loss_difference / 2;
  EXPECT_EQ(judge_cost(m), Cost::none) << "two standard errors and no more";
  m.loss_difference_standard_error *= 0.999;
  EXPECT_EQ(judge_cost(m), Cost::heavy);
  m.loss = std::numeric_limits<double>::infinity();
  EXPECT_EQ(judge_cost(m), Cost::unknown);
}

TEST(CostWords, HaveTheDigitsOfTheirSize) {
  EXPECT_EQ(describe_cost(rising(0.00412)), "a small loss, 0.41% in perplexity");
  EXPECT_EQ(describe_cost(rising(0.0312)), "a noticeable loss, 3.1% in perplexity");
  EXPECT_EQ(describe_cost(rising(2.5)), "a heavy loss, 250% in perplexity");
  EXPECT_EQ(describe_cost(rising(-0.3)), "no measurable loss");
  EXPECT_EQ(verdict(rising(0.00412)), "+0.41% perplexity, significant");
  EXPECT_EQ(verdict(rising(0.0312)), "+3.1% perplexity, significant");
  EXPECT_EQ(verdict(rising(0.999)), "+99.9% perplexity, significant");
  EXPECT_EQ(verdict(rising(2.5)), "+250% perplexity, significant");
  EXPECT_EQ(verdict(rising(0)), "no measurable loss");
  Measurement unmeasured = rising(0.1);
  unmeasured.tokens = 0;
  EXPECT_EQ(verdict(unmeasured), "loss not measured");
  EXPECT_EQ(describe_cost(unmeasured), "its loss was not measured");
}

TEST(CostWords, AreOneForEachCost) {
  const std::pair<Cost, std::pair<const char*, const char*>> rows[] = {
      {Cost::unknown, {"unknown", "unknown"}},
      {Cost::none, {"none", "good"}},
      {Cost::small, {"small", "fair"}},
      {Cost::noticeable, {"noticeable", "poor"}},
      {Cost::heavy, {"heavy", "bad"}}};
  for (const auto& [cost, words] : rows) {
    EXPECT_EQ(short_word(cost), words.first);
    EXPECT_EQ(css_class(cost), words.second);
  }
}

const Measurement kBase = invented_model("f32", "f32", 32, 0, 0, 0, 100);

TEST(Headliner, IsTheSmallestOfTheBestCost) {
  const auto leads = [](const Models& models) { return headliner(models)->name; };
  EXPECT_EQ(leads({kBase, rising(0, "eight", 8), rising(0, "six", 6), rising(0.005, "four", 4)}),
            "six");
  EXPECT_EQ(
      leads({kBase, rising(0.004, "eight", 8), rising(0.005, "four", 4), rising(0.3, "two", 2)}),
      "four");
  EXPECT_EQ(leads({kBase, rising(0.3, "two", 2), rising(0.04, "four", 4), rising(0.03, "five", 5)}),
            "five")
      << "where all cost something to notice, the one that costs least";
  Measurement unmeasured = rising(0, "not measured", 1);
  unmeasured.tokens = 0;
  EXPECT_EQ(leads({kBase, unmeasured, rising(0.3, "two", 2)}), "two");
  EXPECT_EQ(leads({kBase, unmeasured}), "not measured");
  EXPECT_EQ(headliner({kBase}), nullptr);
  EXPECT_EQ(headliner({}), nullptr);
}

TEST(SmallestUsable, LosesLessThanFivePercent) {
  const Models models = {kBase, rising(0, "eight", 8), rising(0.049, "four", 4),
                         rising(0.051, "three", 3)};
  EXPECT_EQ(smallest_usable(models)->name, "four");
  EXPECT_EQ(smallest_usable({kBase, rising(0.051, "three", 3)}), nullptr);
}

Measurement timed(const std::string& scheme, double speed) {
  Measurement m = invented_model(scheme, scheme, 8, 0, 0, 0, 100);
  time_against(m, speed, 100);
  return m;
}

TEST(FastestQuantized, HasEightBitCodesWhereAnyHas) {
  const auto fastest = [](const Models& models) { return fastest_quantized(models)->name; };
  EXPECT_EQ(fastest({kBase, timed("int8", 150), timed("int8:a8", 180), timed("int4:g32", 300)}),
            "int8:a8");
  EXPECT_EQ(fastest({kBase, timed("int3:g32", 200), timed("int4:g32", 300)}), "int4:g32");
  EXPECT_EQ(fastest_quantized({kBase, invented_model("untimed", "int8", 8, 0, 0, 0, 900)}), nullptr)
      << "no baseline in its rounds";
  EXPECT_EQ(fastest_quantized({kBase}), nullptr);
}

TEST(Colours, AreByTheWidthOfTheCodes) {
  const std::pair<const char*, int> rows[] = {
      {"f32", 0},     {"int8", 1},     {"int7", 1},  {"int6:g32", 1}, {"int5:g32", 1},
      {"nf4:g64", 2}, {"int4:g32", 2}, {"mxfp4", 2}, {"int3:g32", 3}, {"int2:g32", 4},
      {"ternary", 4}, {"bf16", 5},     {"f16", 5},   {"", 5}};
  for (const auto& [scheme, colour] : rows) {
    Measurement m;
    m.scheme = scheme;
    EXPECT_EQ(colour_of(m), colour) << scheme;
  }
}

TEST(Headline, SaysWhatWasNotMeasured) {
  Measurement unmeasured = rising(0.1, "int8", 8);
  unmeasured.tokens = 0;
  EXPECT_EQ(headline({kBase, unmeasured}), "int8 is 3.9× smaller and was not measured");
  unmeasured.file_bytes = 0;
  EXPECT_EQ(headline({kBase, unmeasured}), "int8 was not measured") << "no size, no ratio";
}

// The page leads with what loses nothing, then with how far one can go, then with what breaks.
TEST(Lede, GoesFurtherAndShowsWhereItBreaks) {
  const Models models = {kBase, rising(0, "eight", 8), rising(0.02, "four", 4),
                         rising(0.5, "three", 3), rising(3, "two", 2)};
  const std::string text = lede(models);
  EXPECT_EQ(testing::markup_fault(text), "");
  EXPECT_NE(text.find("<strong>four</strong> goes further: 7.6× smaller for +0.0198 ± 0.0000 nats, "
                      "a noticeable loss, 2.0% in perplexity."),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("<strong>two</strong> shows where it breaks: 14.4× smaller, but +1.3863 ± "
                      "0.0000 nats (a heavy loss, 300% in perplexity)."),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("three"), std::string::npos) << "one that breaks is enough";
  // What already leads is said no second time.
  EXPECT_EQ(lede({kBase, rising(3, "two", 2)}), "");
}

TEST(Tiles, SayTheLeadersNumbers) {
  Measurement m = rising(0.004, "int8", 8.33);
  m.divergence.top1_agreement = 0.98765;
  m.divergence.kl_mean = 0.00123;
  const std::string text = tiles({kBase, m});
  EXPECT_EQ(testing::markup_fault(text), "");
  for (const char* part : {">3.8×<", "int8: 32.4 KiB instead of 122 KiB, 8.33 bits a weight",
                           ">+0.0040<", "± 0.0000 nats; perplexity 8.426 instead of 8.392",
                           ">98.8%<", "of 2,871 tokens ranked first as f32 does; KL 0.0012 nats"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
}

}  // namespace
}  // namespace nibble
