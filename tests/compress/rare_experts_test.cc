// Experts that saw few tokens are rounded by what all tokens would give them, never silently as if
// nothing were known.
#include "nibble/compress/rare_experts.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "nibble/compress/calibrated_walk.h"
#include "nibble/compress/quantize.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

DecoderConfig many_experts(const std::string& type) {
  DecoderConfig config = tiny_decoder_config(type);
  config.experts = 8;
  return config;
}

std::vector<std::vector<int32_t>> few_tokens() { return {{1, 5, 3, 7}, {2, 2, 9, 11}}; }

// What the walk makes of a model by so few tokens.
std::vector<FinishedWeight> walked(const Model& model, const std::string& method,
                                   std::vector<LayerReport>& reports, const std::string& spill = {},
                                   int threads = 1) {
  QuantizeOptions o;
  o.spill_folder = spill;
  Exec exec;
  exec.threads = threads;
  o.scheme = parse_scheme("int3:g4");
  o.method = method;
  std::vector<std::string> warnings;
  const auto plans = plan_quantization(model, o, warnings);
  const auto store = memory_store();
  walk_blocks(model, plans, o, {{few_tokens(), "test"}}, {}, *store, exec);
  reports = store->reports();
  std::vector<FinishedWeight> out;
  for (const LayerReport& r : reports) {
    for (const ParameterPlan& p : plans)
      if (p.spec.name == r.name)
        out.push_back({r.name, store->get(p.spec.layer, r.name, *p.scheme), r});
  }
  return out;
}

class RareExpertsOf : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, RareExpertsOf,
                         testing::Values("mixtral", "qwen3_moe", "gpt_oss", "gemma4_text"),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(RareExpertsOf, AreNotRoundedAsIfNothingWereKnown) {
  const Model model = tiny_decoder(many_experts(GetParam()), 5);
  std::vector<LayerReport> reports;
  const auto made = walked(model, "gptq", reports);
  int64_t unseen = 0, differ = 0;
  for (const FinishedWeight& w : made) {
    if (w.report.expert < 0) continue;
    const int64_t inputs = w.weight.shape[1];
    EXPECT_NEAR(w.report.mixed,
                1 - static_cast<double>(w.report.tokens) / static_cast<double>(inputs), 1e-12)
        << w.name;
    EXPECT_FALSE(w.report.fell_back) << w.name << ": " << w.report.note;
    EXPECT_NE(w.report.note.find("router's probability"), std::string::npos) << w.report.note;
    unseen += w.report.tokens == 0 ? 1 : 0;
    const Method& rtn = method("rtn");
    const Tensor plain = model.weights->get(w.name).floats();
    const auto rounded = rtn.quantize({plain, w.weight.scheme, {}, w.name, nullptr, 1}).weight;
    const Tensor a = dequantize(rounded, 1), b = dequantize(w.weight, 1);
    differ += std::ranges::equal(a.data<float>(), b.data<float>()) ? 0 : 1;
  }
  EXPECT_GT(unseen, 0);
  EXPECT_GT(differ, 0);
}

TEST_P(RareExpertsOf, AreTheSameFromAFileAndForAnyNumberOfThreads) {
  const test::TempFolder folder;
  const Model model = tiny_decoder(many_experts(GetParam()), 5);
  std::vector<LayerReport> reports, others;
  const auto one = walked(model, "gptq", reports),
             three = walked(model, "gptq", others, folder.path(), 3);
  EXPECT_EQ(reports, others);
  ASSERT_EQ(one.size(), three.size());
  for (size_t i = 0; i < one.size(); ++i) {
    const Tensor a = dequantize(one[i].weight, 1), b = dequantize(three[i].weight, 1);
    EXPECT_TRUE(std::ranges::equal(a.data<float>(), b.data<float>())) << one[i].name;
  }
}

// By the definition: the mean of p x x^T over all rows.
TEST(RareExperts, CountEveryRowByTheRoutersProbability) {
  const Model model = tiny_decoder(many_experts("mixtral"), 5);
  const DecoderConfig& config = model.decoder_config();
  const LayerRunner runner(config, [&](const ParamSpec& p) { return load_weight(model, p); });
  const auto samples = few_tokens();
  const Exec exec;
  SampleStream stream(runner, samples, {}, exec);
  stream.embed();
  const Layer layer = runner.layer(0);
  size_t site = 0;
  for (; !layer.plan.sites[site].experts; ++site) {
    stream.read_input(layer, site);
    stream.add_output(layer, site);
  }
  stream.read_input(layer, site);
  const int expert = 3;
  const GroupPlace place{0, site, layer.plan, expert};
  const InputStatistics found = ProbableRows(place, stream, samples.size()).first(true, 1);
  const int64_t k = config.hidden_size;
  std::vector<double> wanted(static_cast<size_t>(k * k));
  double sum = 0;
  for (size_t s = 0; s < samples.size(); ++s) {
    stream.with_input(s, [&](const std::vector<float>& kept) {
      const SiteInput input(layer.plan, site, kept);
      for (int64_t r = 0; r < input.rows(); ++r) {
        double all = 0;
        for (int e = 0; e < 8; ++e) all += double{input.probability(r, e)};
        EXPECT_NEAR(all, 1, 1e-6);  // softmax over all experts
        const double p = double{input.probability(r, expert)};
        const auto x = input.of_row(r);
        sum += p;
        for (int64_t i = 0; i < k * k; ++i)
          wanted[static_cast<size_t>(i)] +=
              p * double{x[static_cast<size_t>(i / k)]} * double{x[static_cast<size_t>(i % k)]};
      }
    });
  }
  ASSERT_EQ(std::ssize(found.hessian), k * k);
  for (size_t i = 0; i < wanted.size(); ++i)
    EXPECT_NEAR(found.hessian[i], wanted[i] / sum, 1e-5 * (1 + std::fabs(wanted[i] / sum)));
}

TEST(RareExperts, AreFilledUpToAsManyRowsAsInputs) {
  const auto of = [](int64_t rows, double value) {
    InputStatistics s;
    s.k = 2, s.rows = rows;
    s.absmax = {static_cast<float>(value), 1};
    s.mean_square = {value, value};
    s.hessian.assign(4, static_cast<float>(value));
    s.cross.assign(4, 8);
    return s;
  };
  InputStatistics own = of(1, 2), enough = of(2, 2);
  fill_up(of(9, 4), own);
  EXPECT_EQ(own.rows, 1);
  EXPECT_EQ(own.mixed, 0.5);
  EXPECT_EQ(own.hessian, (std::vector<float>{3, 3, 3, 3}));
  EXPECT_EQ(own.mean_square, (std::vector<double>{3, 3}));
  EXPECT_EQ(own.absmax, (std::vector<float>{4, 1}));
  EXPECT_EQ(own.cross, (std::vector<float>{4, 4, 4, 4}));
  fill_up(of(9, 4), enough);
  EXPECT_EQ(enough.mixed, 0);
  EXPECT_EQ(enough.hessian, of(2, 2).hessian);
}

}  // namespace
}  // namespace nibble
