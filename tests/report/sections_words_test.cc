// What the sections of a page say of their numbers, on both sides of where the words change.
#include <gtest/gtest.h>

#include <cmath>

#include "nibble/report/sections.h"
#include "tests/report/invented_report.h"
#include "tests/report/markup.h"

namespace nibble {
namespace {

using testing::invented_model;

bool says(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

DemoResult trained(double train_loss, double heldout, double bigram) {
  DemoResult r;
  r.model = "a model", r.steps = 40, r.batch = 1;
  r.losses.assign(40, 9.0f);
  r.losses[38] = r.losses[39] = static_cast<float>(train_loss);
  r.heldout_loss = heldout, r.bigram_loss = bigram;
  return r;
}

// The last twentieth of 40 steps are two.
TEST(TrainingWords, CompareTheEndOfTheCurveWithHeldOutText) {
  const std::string learned = training(trained(2, 2.015, 0));
  EXPECT_TRUE(says(learned,
                   "the loss is 2.000 on the data it learns from and 2.015 on text held "
                   "out: it has learned rules, not the list"))
      << learned;
  const std::string remembered = training(trained(2, 2.25, 0));
  EXPECT_TRUE(says(remembered, "2.250 on text held out: 0.250 nats are memory")) << remembered;
  EXPECT_FALSE(says(training(trained(2, std::nan(""), 0)), "held out"));
  EXPECT_FALSE(says(training(trained(2, 0, 0)), "held out"));
}

TEST(TrainingWords, CompareWithCountingPairs) {
  EXPECT_TRUE(says(training(trained(2, 2.1, 2.4)),
                   "reaches 2.400 on the same text, so the model "
                   "uses more than the last character"));
  EXPECT_TRUE(says(training(trained(2, 2.5, 2.4)), "has not yet learned more than that"));
  EXPECT_FALSE(says(training(trained(2, 2.5, 0)), "Counting")) << "it was not counted";
  EXPECT_TRUE(says(training(trained(2, 2.5, 0)), "40 steps of 1 sequence in"));
}

Models of_costs(std::initializer_list<std::pair<double, double>> bits_and_kl) {
  Models out = {invented_model("f32", "f32", 32, 0, 0, 0, 100)};
  for (const auto& [bits, kl] : bits_and_kl)
    out.push_back(invented_model("m" + std::to_string(out.size()), "int8", bits, 0, 0, kl, 100));
  return out;
}

TEST(SizeAndQuality, NamesWhatIsBeatenInBoth) {
  EXPECT_TRUE(says(size_and_quality(of_costs({{8, 0.01}, {4, 0.1}})), "No format here is beaten"));
  const std::string beaten = size_and_quality(of_costs({{8, 0.01}, {4, 0.1}, {5, 0.2}}));
  EXPECT_TRUE(says(beaten, "<strong>m3</strong> by m2.")) << beaten;
  // The same in one and better in the other is beaten; the same in both is not.
  EXPECT_TRUE(says(size_and_quality(of_costs({{4, 0.1}, {4, 0.2}})), "<strong>m2</strong> by m1."));
  EXPECT_TRUE(says(size_and_quality(of_costs({{4, 0.1}, {4, 0.1}})), "No format here is beaten"));
  EXPECT_EQ(size_and_quality(of_costs({{8, 0}})), "") << "no place on a logarithmic scale";
  EXPECT_EQ(size_and_quality({}), "");
}

TEST(ModelTable, GivesEveryNumberItsCell) {
  Models models = of_costs({{8.33, 0.00123}});
  Measurement& m = models[1];
  m.file_bytes = 30'000, models[0].file_bytes = 100'000, m.memory_bytes = 2048;
  m.loss = 2.5, m.standard_error = 0.0125, m.loss_difference = 0.0312;
  m.loss_difference_standard_error = 0.001, m.perplexity = 12.1824;
  m.divergence.top1_agreement = 0.98765, m.divergence.kl_p99 = 0.045;
  const std::string html = model_table(models, "held-out ");
  EXPECT_EQ(testing::markup_fault(html), "");
  for (const char* cell :
       {">8.33<", ">29.3 KiB<span class=\"se\">3.33× smaller</span>", ">2.00 KiB<",
        ">2.5000<span class=\"se\">± 0.0125</span>", ">+0.0312<span class=\"se\">± 0.0010</span>",
        "chip poor", ">12.182<", ">98.77%<", ">0.0012<span class=\"se\">p99 0.045</span>",
        "on 2,871 held-out tokens"})
    EXPECT_TRUE(says(html, cell)) << cell << "\n" << html;
  m.tokens = 0;
  EXPECT_FALSE(says(model_table(models), "chip")) << "nothing measured is no verdict";
}

TEST(ModelName, StaysOnOneLineWhereItIsShort) {
  EXPECT_EQ(model_name(invented_model("int4 g16", "int4:g16", 5, 0, 0, 0, 1)),
            "<span class=\"whole\"><span class=\"dot c2\"></span>int4 g16</span>");
  EXPECT_FALSE(
      says(model_name(invented_model("12345678901234567", "int8", 8, 0, 0, 0, 1)), "whole"));
}

std::vector<Sensitivity> sensitivities() {
  return {{"small", "int4:g16", 0.001, 0.01},
          {"large", "int4:g16", -0.002, 0.03},
          {"unknown", "int4:g16", 0, std::nan("")}};
}

TEST(SensitivityWords, NameTheLargestAndTheLeast) {
  const std::string html = sensitivity(sensitivities());
  EXPECT_EQ(testing::markup_fault(html), "");
  EXPECT_TRUE(says(html,
                   "<strong>large</strong> is the most sensitive: it alone makes 75% of the "
                   "sum of all these divergences and changes the loss by -0.0020 nats"))
      << html;
  EXPECT_TRUE(says(html, "<strong>unknown</strong> minds least"));
  EXPECT_TRUE(says(html, "nats, int4:g16</h3>"));
  std::vector<Sensitivity> mixed = sensitivities();
  mixed[0].scheme = "int8";
  EXPECT_TRUE(says(sensitivity(mixed), "small (int8)")) << "each says its own scheme";
  EXPECT_FALSE(says(sensitivity({{"none", "int8", 0, 0}}), "most sensitive"));
}

DemoResult with_outliers() {
  DemoResult r;
  for (const double worst : {2.0, 3.0, 40.0}) {
    OutlierStats s;
    s.tensor = "t" + std::to_string(r.weight_outliers.size());
    s.moments = {1000, 0, 0.5, -2, 2, 2, 3.25, 7};
    s.outliers = 12, s.share = 0.012, s.by_channel = {5, 0, 7, 0};
    s.worst_channel_ratio = worst;
    r.weight_outliers.push_back(s);
  }
  return r;
}

TEST(OutlierWords, TableAndBarsHaveTheirNumbers) {
  DemoResult r = with_outliers();
  const std::string html = outliers(r);
  EXPECT_EQ(testing::markup_fault(html), "");
  for (const char* cell :
       {"further than 6 standard deviations", ">4.0 σ<", ">3.2<",
        ">12 <span class=\"se\">(1.200%)</span>", ">2 <span class=\"se\">of 4</span>", ">40.0×<",
        ">1,000 <span class=\"bad\">+ 7 not finite</span>"})
    EXPECT_TRUE(says(html, cell)) << cell << html;
  EXPECT_TRUE(says(html, "class=\"gap\"")) << "40 is beyond five times 3: drawn broken";
  r.weight_outliers[2].worst_channel_ratio = 14.9;
  EXPECT_FALSE(says(outliers(r), "class=\"gap\""));
  r.weight_outliers[0].k = 4.5;
  EXPECT_TRUE(says(outliers(r), "further than 4.5 standard deviations"));
}

// The remedy that leaves the smallest share comes first, five of them at most.
TEST(OutlierWords, RemediesAreSortedByWhatTheyGain) {
  DemoResult r = with_outliers();
  for (int i = 0; i < 7; ++i)
    r.remedies.push_back({"m" + std::to_string(i), 4, 1e-3, 1e-3 * (0.9 - 0.1 * i), 9e-4, 0.5});
  const std::string html = outliers(r);
  EXPECT_TRUE(says(html, "The 5 that gain most are shown."));
  EXPECT_TRUE(says(html, "m6 (4 bits)"));
  EXPECT_FALSE(says(html, "m1 (4 bits)"));
  EXPECT_LT(html.find("m6 (4 bits)"), html.find("m5 (4 bits)"));
  EXPECT_TRUE(says(html, "± 0.500")) << "all stand in the table";
  r.remedies.resize(5);
  EXPECT_FALSE(says(outliers(r), "gain most"));
}

TEST(WeightHistogramWords, CountTensorsThatAreFoldedAway) {
  const auto html_of = [](size_t tensors) {
    std::vector<WeightHistograms> all;
    for (size_t i = 0; i < tensors; ++i)
      all.push_back({"t" + std::to_string(i), "int8", {0, 1, {1}}, {0, 1, {1}}, {-1, 1, {1}}});
    return weight_histograms(all);
  };
  EXPECT_FALSE(says(html_of(3), "<details"));
  EXPECT_TRUE(says(html_of(4), "<summary>1 more tensor</summary>"));
  EXPECT_TRUE(says(html_of(9), "<summary>6 more tensors</summary>"));
}

TEST(GrowthWords, CountOneAsOne) {
  Models models = of_costs({{8, 0.01}});
  models[0].text.continuations = models[1].text.continuations = 1;
  models[1].text.prefix_agreement = {0.5};
  EXPECT_TRUE(says(growth(models), "1 text, the likeliest token each time"));
  EXPECT_TRUE(says(growth(models), "50% still the same after 1 token, 50% after 1<"));
  models[0].text.continuations = 1200;
  EXPECT_TRUE(says(growth(models), "1,200 texts, the likeliest"));
}

TEST(VerdictLines, SaySizeCostAndSpeed) {
  Models models = {invented_model("f32", "f32", 32, 0, 0, 0, 100),
                   invented_model("int8", "int8", 8, 0.0004, 0.0003, 0.001, 100)};
  models[0].file_bytes = 400, models[1].file_bytes = 100;
  testing::time_against(models[1], 171, 100);
  const std::string html = verdicts(models);
  EXPECT_EQ(testing::markup_fault(html), "");
  EXPECT_TRUE(says(html,
                   "<span class=\"good\">no measurable loss</span><span class=\"soft\">; "
                   "4.00× smaller; generation 1.71×</span>"))
      << html;
  EXPECT_TRUE(says(html, "Against f32."));
  EXPECT_EQ(verdicts({models[0]}), "") << "nothing to compare";
}

TEST(Texts, SayWhereTheyPart) {
  Models models = {invented_model("f32", "f32", 32, 0, 0, 0, 1),
                   invented_model("same", "int8", 8, 0, 0, 0, 1),
                   invented_model("other", "int4", 4, 0, 0, 0, 1),
                   invented_model("short", "int2", 2, 0, 0, 0, 1)};
  models[0].text = {"one two", 5, -1, 0, {}};
  models[1].text = {"one two", 5, -1, 0, {}};
  models[2].text = {"one ten", 5, 3, 0, {}};
  models[3].text = {"one", 1, 1, 0, {}};
  const std::string html = texts(models, "");
  EXPECT_EQ(testing::markup_fault(html), "");
  for (const char* part : {"behind the beginning of a text", ">5 tokens<", "one t<mark>en</mark>",
                           "differs from token 4 of 5 on", "ends after 1 token<",
                           "one<mark>&#8709;</mark>", "The same to the last token: "})
    EXPECT_TRUE(says(html, part)) << part << html;
  EXPECT_TRUE(says(texts(models, "<x>"), "behind <code>&lt;x&gt;</code>"));
}

TEST(MadeHow, ListsWhatIsKnownAndNoMore) {
  DemoResult r;
  r.run.machine = "a machine", r.steps = 1, r.batch = 2, r.run.command = "nibble demo -o <x>";
  const std::string html = how_it_was_made(r.run, r.data, r.models, &r);
  EXPECT_EQ(testing::markup_fault(html), "");
  EXPECT_TRUE(says(html, "<dt>Machine</dt><dd>a machine</dd>"));
  EXPECT_TRUE(says(html, "1 step of 2 sequences, seed 42, data split with seed 42"));
  EXPECT_TRUE(says(html, "nibble demo -o &lt;x&gt;</code>"));
  EXPECT_FALSE(says(html, "Timed over"));
  EXPECT_FALSE(says(html, "<dt>Data</dt>"));
  r.models = testing::invented_models();
  EXPECT_TRUE(says(how_it_was_made(r.run, r.data, r.models, &r),
                   "20 rounds or more after warm-up, each model in turn with f32"));
  EXPECT_TRUE(says(how_it_was_made(r.run, r.data, r.models, &r), "2,871 tokens"));
}

}  // namespace
}  // namespace nibble
