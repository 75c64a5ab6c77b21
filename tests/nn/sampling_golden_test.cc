// Samplers beside transformers' processors of logits (tests/golden/make_sampling.py), and DRY
// beside its definition word by word.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "nibble/nn/sampling.h"
#include "nibble/nn/sampling_fields.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using nlohmann::json;

SamplingOptions options_of(const json& j) {
  SamplingOptions o;
  for (const SamplingField& f : sampling_fields()) {
    const std::string name(f.name);
    if (!j.contains(name)) continue;
    if (f.real != nullptr)
      *f.real(o) = j.at(name);
    else
      *f.whole(o) = j.at(name);
  }
  for (const json& b : j.at("bias")) o.bias.push_back({b[0], b[1]});
  return o;
}

TEST(SamplingGolden, LeavesWhatTransformersLeaves) {
  const json cases = json::parse(test::get_file("tests/golden/nn/sampling.json"));
  ASSERT_GT(cases.size(), 100u);
  for (const json& c : cases) {
    const std::vector<double> weights =
        sampling_weights(c.at("logits").get<std::vector<float>>(),
                         c.at("history").get<std::vector<int32_t>>(), options_of(c.at("options")));
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    const auto expected = c.at("probabilities").get<std::vector<double>>();
    for (size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(weights[i] / total, expected[i], 1e-6) << c.at("options") << " token " << i;
  }
}

// For each token the longest repetition that it would go on with, by looking everywhere.
std::vector<float> dry_by_hand(std::vector<float> logits, const std::vector<int32_t>& h,
                               const DryOptions& o, int32_t breaker) {
  const int64_t n = std::ssize(h);
  int64_t reach = 0;
  while (reach < n && h[static_cast<size_t>(n - 1 - reach)] != breaker) ++reach;
  for (int32_t id = 0; id < std::ssize(logits); ++id) {
    int64_t longest = 0;
    for (int64_t at = 1; at < n; ++at) {
      if (h[static_cast<size_t>(at)] != id) continue;
      int64_t length = 0;
      while (length < at && length < reach &&
             h[static_cast<size_t>(at - 1 - length)] == h[static_cast<size_t>(n - 1 - length)])
        ++length;
      longest = std::max(longest, length);
    }
    if (longest < o.allowed_length || id == breaker) continue;
    float& l = logits[static_cast<size_t>(id)];
    l = static_cast<float>(
        l - o.multiplier * std::pow(o.base, static_cast<double>(longest - o.allowed_length)));
  }
  return logits;
}

RC_GTEST_PROP(Dry, IsItsDefinition, (const std::vector<uint8_t>& drawn, uint8_t length)) {
  std::vector<int32_t> history;
  for (const uint8_t d : drawn) history.push_back(d % 3);
  const std::vector<float> logits = {1, 2, 3};
  const auto breakers = std::make_shared<DryBreakers>();
  (*breakers)[2].emplace_back();
  DryOptions o{.multiplier = 0.8, .base = 1.75, .allowed_length = 1 + length % 4};
  for (const int32_t breaker : {-1, 2}) {
    o.breakers = breaker < 0 ? nullptr : breakers;
    std::vector<float> found = logits;
    penalize_repetition(found, history, o);
    RC_ASSERT(found == dry_by_hand(logits, history, o, breaker));
  }
}

TEST(Dry, BreakersOfSeveralTokensEndARepetition) {
  const std::vector<int32_t> history = {0, 1, 2, 0, 1};
  const auto penalized = [&](std::shared_ptr<const DryBreakers> breakers) {
    std::vector<float> logits = {0, 0, 0};
    penalize_repetition(
        logits, history,
        {.multiplier = 1, .base = 2, .allowed_length = 1, .breakers = std::move(breakers)});
    return logits;
  };
  EXPECT_EQ(penalized(nullptr), (std::vector<float>{0, 0, -2}));
  const auto pair = std::make_shared<DryBreakers>();
  (*pair)[2] = {{0}};  // "2 0" breaks: only the last 1 counts
  EXPECT_EQ(penalized(pair), (std::vector<float>{0, 0, -1}));
  const auto last = std::make_shared<DryBreakers>();
  (*last)[0] = {{1}};
  EXPECT_EQ(penalized(last), (std::vector<float>{0, 0, 0}));
}

TEST(Dry, LongRepetitionsStayFinite) {
  std::vector<float> logits = {0, 0};
  penalize_repetition(logits, std::vector<int32_t>(3000, 1), {.multiplier = 0.5, .base = 4});
  EXPECT_EQ(logits[0], 0);
  EXPECT_TRUE(std::isfinite(logits[1]));
  EXPECT_LT(logits[1], -1e30);
}

TEST(SamplingFields, RefuseByName) {
  const auto refused = [](const char* words, auto change) {
    SamplingOptions o;
    change(o);
    test::expect_error(ErrorKind::invalid_argument, words, [&] { validate(o); });
  };
  refused("`typical_p` must be above 0", [](auto& o) { o.typical_p = 0; });
  refused("`top_n_sigma`", [](auto& o) { o.top_n_sigma = -1; });
  refused("`presence_penalty`", [](auto& o) { o.presence_penalty = HUGE_VAL; });
  refused("`frequency_penalty`", [](auto& o) { o.frequency_penalty = NAN; });
  refused("`dry_multiplier`", [](auto& o) { o.dry.multiplier = -0.5; });
  refused("`dry_base`", [](auto& o) { o.dry.base = 0.9; });
  refused("`dry_allowed_length`", [](auto& o) { o.dry.allowed_length = 0; });
}

TEST(SamplingBias, CanForbidAndCannotForbidAll) {
  SamplingOptions o{.temperature = 0};
  o.bias = {{1, -INFINITY}};
  PyRandom random(1);
  const std::vector<float> logits = {0, 5};
  EXPECT_EQ(sample(logits, {}, o, random), 0);
  o.bias.push_back({0, -INFINITY});
  test::expect_error(ErrorKind::invalid_argument, "`logit_bias` leaves no token",
                     [&] { sample(logits, {}, o, random); });
}

}  // namespace
}  // namespace nibble
