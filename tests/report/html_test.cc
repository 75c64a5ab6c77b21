#include "nibble/report/html.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "nibble/report/compare_report.h"
#include "nibble/report/demo_report.h"
#include "tests/report/invented_report.h"
#include "tests/report/markup.h"

namespace nibble {
namespace {

using testing::invented_report;
using testing::markup_fault;

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST(MarkupFault, FindsFaults) {
  EXPECT_EQ(markup_fault("<!DOCTYPE html><p class=\"a\">x<wbr>y</p>"), "");
  EXPECT_NE(markup_fault("<p><b></p></b>"), "");
  EXPECT_NE(markup_fault("<p>"), "");
  EXPECT_NE(markup_fault("</p>"), "");
  EXPECT_NE(markup_fault("<p class=a></p>"), "");
  EXPECT_NE(markup_fault("<p id=\"a\" id=\"b\"></p>"), "");
  EXPECT_NE(markup_fault("1 < 2"), "");
}

TEST(EscapeHtml, LeavesNothingThatMarksUp) {
  EXPECT_EQ(escape_html("<b a=\"x\" b='y'>&"), "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;");
  EXPECT_EQ(escape_html("żółw 日本"), "żółw 日本");
  EXPECT_EQ(escape_html(std::string_view("a\0\x1b", 3)), "a\\x00\\x1b");
  EXPECT_EQ(escape_html("\xc3("), "\\xc3(");
}

TEST(Report, IsWellFormed) { EXPECT_EQ(markup_fault(render_html(invented_report())), ""); }

TEST(Report, AsksForNothingFromOutside) {
  const std::string page = render_html(invented_report());
  for (const std::string_view part :
       {"<script", "<link", "<img", "<iframe", "@import", "url(",
        "http:", "https:", "src=", "javascript:", "<object", "<base"}) {
    EXPECT_FALSE(contains(page, part)) << part;
  }
  EXPECT_TRUE(contains(page, "default-src 'none'"));
}

TEST(Report, HasEverySection) {
  const std::string page = render_html(invented_report());
  for (const std::string_view id : {"models", "size-quality", "training", "speed", "weights",
                                    "outliers", "sensitivity", "samples", "method", "words"}) {
    EXPECT_TRUE(contains(page, "<section id=\"" + std::string(id) + "\"")) << id;
    EXPECT_TRUE(contains(page, "href=\"#" + std::string(id) + "\"")) << id;
  }
  EXPECT_TRUE(contains(page, "prefers-color-scheme: dark"));
  EXPECT_TRUE(contains(page, "width=device-width"));
}

TEST(Report, NamesEveryPicture) {
  const std::string page = render_html(invented_report());
  size_t pictures = 0;
  for (size_t at = page.find("<svg"); at != std::string::npos; at = page.find("<svg", at + 1)) {
    const std::string tag = page.substr(at, page.find('>', at) - at);
    EXPECT_TRUE(contains(tag, "role=\"img\"")) << tag;
    EXPECT_FALSE(contains(tag, "aria-label=\"\"")) << tag;
    ++pictures;
  }
  EXPECT_GE(pictures, 10u);
}

TEST(Report, EscapesEveryTextFromOutside) {
  const std::string evil = "<script>alert('x')</script>\"&\x1b[2J\xff日本";
  DemoResult r = invented_report();
  for (std::string* text :
       {&r.run.machine, &r.run.date, &r.run.version, &r.run.command, &r.data, &r.model})
    *text = evil;
  for (Measurement& m : r.models) {
    m.name = m.kernel = m.folder = evil;
    for (std::string& s : m.samples) s += evil;
  }
  r.models[1].samples[0] = evil;
  for (auto& h : r.histograms) h.tensor = h.scheme = evil;
  for (auto& o : r.weight_outliers) o.tensor = evil;
  for (auto& o : r.activation_outliers) o.tensor = evil;
  for (auto& e : r.remedies) e.tensor = evil;
  for (auto& s : r.sensitivity) s.tensor = evil;
  r.sensitivity[0].scheme = evil;
  r.models[2].scheme = evil;
  const std::string page = render_html(r);
  EXPECT_EQ(markup_fault(page), "");
  EXPECT_FALSE(contains(page, "<script"));
  EXPECT_FALSE(contains(page, "\x1b"));
  EXPECT_FALSE(contains(page, "\xff"));
  EXPECT_FALSE(contains(page, "&amp;lt;")) << "something was escaped twice";
  EXPECT_TRUE(contains(page, "&lt;script&gt;"));
}

TEST(Report, SurvivesNumbersThatAreNone) {
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
        -std::numeric_limits<double>::infinity(), 1e308, -1e308, 0.0, -1.0, 1e-320}) {
    DemoResult r = invented_report();
    r.heldout_loss = r.bigram_loss = r.train_seconds = r.train_tokens_per_second = bad;
    for (float& l : r.losses) l = static_cast<float>(bad);
    for (Measurement& m : r.models) {
      m.bits_per_weight = m.loss = m.standard_error = m.perplexity = m.loss_difference = bad;
      m.loss_difference_standard_error = m.tokens_per_second = m.dequantized_tokens_per_second =
          bad;
      m.divergence = {bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, bad, {}};
      m.latency = m.base_latency = m.dequantized_latency = {{bad, 1, bad, bad, bad, bad}};
      m.waited_share = bad;
    }
    for (auto& h : r.histograms) h.original.low = h.error.high = bad;
    for (auto* list : {&r.weight_outliers, &r.activation_outliers}) {
      for (auto& o : *list) {
        o.k = o.share = o.worst_channel_ratio = bad;
        o.moments = {1, bad, bad, bad, bad, bad, bad, 1};
      }
    }
    for (auto& e : r.remedies) e.per_tensor = e.clipped = e.per_channel = bad;
    for (auto& s : r.sensitivity) s.kl_mean = s.loss_difference = bad;
    const std::string page = render_html(r);
    EXPECT_EQ(markup_fault(page), "") << bad;
    for (const std::string_view part : {"nan", "inf ", "inf<", "inf\""}) {
      EXPECT_FALSE(contains(page, part)) << part << " for " << bad;
    }
  }
}

TEST(Report, SurvivesNothingMeasured) {
  EXPECT_EQ(markup_fault(render_html(DemoResult{})), "");
  DemoResult r;
  r.models = std::vector<Measurement>(3);
  r.histograms.resize(2);
  r.sensitivity.resize(1);
  r.remedies.resize(1);
  r.weight_outliers.resize(1);
  r.losses = {1};
  const std::string page = render_html(r);
  EXPECT_EQ(markup_fault(page), "");
  EXPECT_FALSE(contains(page, "nan"));
}

TEST(Report, MarksWhereASampleParts) {
  const std::string page = render_html(invented_report());
  EXPECT_TRUE(contains(page, "jair<mark>i</mark>"));
  EXPECT_TRUE(contains(page, "<strong>9</strong> of 10"));
}

TEST(CompareReport, LeavesOutWhatItDoesNotHave) {
  CompareResult r;
  r.model = "a";
  r.models = testing::invented_models();
  const std::string page = render_html(r);
  EXPECT_EQ(markup_fault(page), "");
  EXPECT_TRUE(contains(page, "<section id=\"models\""));
  EXPECT_FALSE(contains(page, "<section id=\"training\""));
  EXPECT_FALSE(contains(page, "<section id=\"outliers\""));
}

CompareResult invented_comparison() {
  CompareResult r;
  r.model = "<gpt2>";
  r.prompt = "Once <b>";
  r.own_text = true;
  r.models = testing::invented_models();
  for (size_t i = 0; i < r.models.size(); ++i) {
    Measurement& m = r.models[i];
    const double decode = 100.0 + 10 * static_cast<double>(i);
    m.throughput = {256,
                    32,
                    testing::invented_latency(256, 1000, 0.01, 3),
                    testing::invented_latency(32, decode, 0.01, 3),
                    {},
                    {},
                    1000.0,
                    decode,
                    256 * 29000,
                    29000};
    if (i > 0) {
      m.throughput.base_prefill = m.throughput.prefill;
      m.throughput.base_decode = testing::invented_latency(32, 100, 0.01, 3);
    }
    m.text = {"A text\nwith <i>", 12, -1, 8, {1, 0.9, 0.5}};
    for (int64_t k = 0; k < 20; ++k)
      m.divergence.by_position.push_back(
          {8 * k + 1, 8 * k + 8, 100, 0.99 - 0.01 * static_cast<double>(i), 0.1});
  }
  r.models[4].text = {"A text\nof <u>", 12, 7, 8, {1, 0.5, 0}};
  r.roof = {40e6, 1e9, 2e8};
  return r;
}

TEST(CompareReport, HasEverySection) {
  const std::string page = render_html(invented_comparison());
  EXPECT_EQ(markup_fault(page), "");
  for (const std::string_view id : {"verdicts", "models", "size-quality", "throughput", "limits",
                                    "speed", "length", "texts", "samples", "method", "words"}) {
    EXPECT_TRUE(contains(page, "<section id=\"" + std::string(id) + "\"")) << id;
  }
  EXPECT_TRUE(contains(page, "differs from token 8 of 12 on"));
  EXPECT_TRUE(contains(page, "A text\n<mark>of &lt;u&gt;</mark>"));
  EXPECT_TRUE(contains(page, "1.10×"));
  EXPECT_TRUE(contains(page, "wrote itself"));
  EXPECT_FALSE(contains(page, "held-out text"));
}

// Where the baseline's text goes on.
TEST(CompareReport, ATextMayEndFirst) {
  CompareResult r = invented_comparison();
  r.models[4].text = {"A text", 7, 7, 8, {1, 0.5, 0}};
  EXPECT_TRUE(contains(render_html(r), "ends after 7 tokens"));
  EXPECT_TRUE(contains(render_terminal(r), "int4 g16 (ends after 7 tokens)"));
}

TEST(CompareReport, TakesAnyNumbers) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(),
                           std::numeric_limits<double>::infinity(), -1.0, 0.0, 1e308}) {
    CompareResult r = invented_comparison();
    for (Measurement& m : r.models) {
      m.throughput.prefill_tokens_per_second = m.throughput.decode_tokens_per_second = bad;
      m.throughput.prefill = m.throughput.base_prefill = {{bad, bad, bad, bad, bad, 1}};
      m.text.prefix_agreement = {bad, bad};
      r.roof = {bad, 1e9, bad};
      for (PositionDivergence& p : m.divergence.by_position) p.top1_agreement = p.kl_mean = bad;
    }
    EXPECT_EQ(markup_fault(render_html(r)), "") << bad;
    EXPECT_FALSE(render_terminal(r).empty());
  }
  EXPECT_EQ(markup_fault(render_html(CompareResult{})), "");
}

TEST(CompareReport, TerminalHasVerdictsAndTexts) {
  const std::string out = render_terminal(invented_comparison());
  EXPECT_TRUE(contains(out, "int8: no measurable loss; 0.84x as fast (0.84x to 0.85x)\n")) << out;
  EXPECT_TRUE(contains(out, "int4 g16: +4.2% perplexity, significant; 0.64x as fast (")) << out;
  EXPECT_TRUE(contains(out, "int4 g16 (differs from token 8 on)\n    A text\n    of <u>\n")) << out;
  EXPECT_TRUE(contains(out, "int8 (the same 12 tokens)\n")) << out;
}

TEST(CompareReport, JsonHasTheNumbersBehindThePlots) {
  const auto json = nlohmann::json::parse(compare_json(invented_comparison()));
  EXPECT_EQ(json.at("schema_version"), 1);
  EXPECT_EQ(json.at("own_text"), true);
  const auto& m = json.at("models")[4];
  EXPECT_EQ(m.at("first_difference"), 7);
  EXPECT_TRUE(json.at("models")[3].at("first_difference").is_null());
  EXPECT_EQ(m.at("prefix_agreement"), nlohmann::json::parse("[1.0, 0.5, 0.0]"));
  EXPECT_EQ(m.at("by_position").size(), 20u);
  EXPECT_EQ(m.at("by_position")[1].at("first"), 9);
  EXPECT_DOUBLE_EQ(m.at("decode_ratio").get<double>(), 1.4);
  EXPECT_EQ(m.at("verdict"), "+4.2% perplexity, significant");
  EXPECT_EQ(m.at("decode_speedup").at("verdict"), "faster");
  EXPECT_EQ(m.at("prefill_speedup").at("verdict"), "same");
  EXPECT_EQ(json.at("busy"), false);
  EXPECT_EQ(json.at("models")[0].at("verdict"), "baseline");
}

}  // namespace
}  // namespace nibble
