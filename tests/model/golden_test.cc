// Whole models against what Hugging Face transformers computes for them in f32: last logits, 64
// greedy tokens, perplexity by windows (../shared/golden/make_models.py), and the same for small
// random models of every architecture (tests/golden/make_architectures.py).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "nibble/core/files.h"
#include "nibble/model/model.h"
#include "tests/model/families.h"
#include "tests/support/shared.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Ids = std::vector<int32_t>;

const Exec kExec{.threads = 2, .progress = {}, .stop_signal = nullptr};

Json read_json(const fs::path& path) { return Json::parse(std::ifstream(path)); }

int32_t argmax(const std::vector<float>& row) {
  return static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

void expect_logits(const Decoder& decoder, const Ids& ids, const std::vector<double>& expected,
                   double tolerance) {
  KvCache cache = decoder.make_cache(static_cast<int64_t>(ids.size()));
  const auto got = decoder.forward(ids, cache, Decoder::Logits::last, kExec);
  ASSERT_EQ(got.size(), expected.size());
  double worst = 0;
  for (size_t i = 0; i < got.size(); ++i)
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - expected[i]));
  EXPECT_LE(worst, tolerance);
  testing::Test::RecordProperty("worst_logit", std::to_string(worst));
}

Ids greedy(const Decoder& decoder, const Ids& prompt, size_t wanted) {
  KvCache cache = decoder.make_cache(static_cast<int64_t>(prompt.size() + wanted));
  Ids out, next = prompt;
  while (out.size() < wanted) {
    out.push_back(argmax(decoder.forward(next, cache, Decoder::Logits::last, kExec)));
    next = {out.back()};
  }
  return out;
}

// Mean loss over the predicted tokens of one window.
double window_nll(const Decoder& decoder, const Ids& ids) {
  KvCache cache = decoder.make_cache(static_cast<int64_t>(ids.size()));
  const auto logits = decoder.forward(ids, cache, Decoder::Logits::all, kExec);
  const size_t width = logits.size() / ids.size();
  double sum = 0;
  for (size_t r = 0; r + 1 < ids.size(); ++r) {
    const float* row = logits.data() + r * width;
    const double highest = *std::max_element(row, row + width);
    double total = 0;
    for (size_t i = 0; i < width; ++i) total += std::exp(row[i] - highest);
    sum += highest + std::log(total) - row[ids[r + 1]];
  }
  return sum / static_cast<double>(ids.size() - 1);
}

// Windows behind each other, the last partial one dropped unless it is the only one.
double windows_perplexity(const Decoder& decoder, const Ids& ids, size_t window) {
  double sum = 0;
  int64_t count = 0;
  for (size_t at = 0; at == 0 || at + window <= ids.size(); at += window, ++count) {
    const auto begin = ids.begin() + static_cast<int64_t>(at);
    sum += window_nll(decoder,
                      Ids(begin, begin + static_cast<int64_t>(std::min(window, ids.size() - at))));
  }
  return std::exp(sum / static_cast<double>(count));
}

class SharedModel : public testing::TestWithParam<const char*> {};

TEST_P(SharedModel, EqualsTransformers) {
  const std::string name = GetParam();
  const fs::path folder = "../shared/data/models/" + name,
                 golden = "../shared/golden/" + name + ".json";
  if (test::lacks_shared(folder) || test::lacks_shared(golden)) GTEST_SKIP() << folder;
  const Json expected = read_json(golden);
  const Model model = open_model(folder);
  const Decoder decoder = load_decoder(model);
  const Tokenizer& tokenizer = model.require_tokenizer();
  const Ids prompt = tokenizer.encode(expected["prompt"].get<std::string>(), true);
  EXPECT_EQ(prompt, expected["prompt_ids"].get<Ids>());
  expect_logits(decoder, prompt, expected["logits_last"], 1e-3);
  const Ids continuation = greedy(decoder, prompt, 64);
  EXPECT_EQ(continuation, expected["greedy_ids"].get<Ids>());
  const std::string text = read_file("../shared/data/text/" + expected["text"].get<std::string>());
  const Ids ids = tokenizer.encode(text, false);
  ASSERT_EQ(ids.size(), expected["text_tokens"].get<size_t>());
  const double perplexity = windows_perplexity(decoder, ids, expected["window"]);
  EXPECT_NEAR(perplexity / expected["perplexity"].get<double>(), 1.0, 1e-4);
}

std::string test_name(const testing::TestParamInfo<const char*>& param) {
  std::string name = param.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Models, SharedModel,
                         testing::Values("stories260k", "gpt2-shakespeare",
                                         "gpt2-shakespeare-outliers", "llama-shakespeare",
                                         "llama-shakespeare-outliers"),
                         test_name);

// Families beyond those above, with what transformers makes of them (../shared/data/README.md).
class SharedArchitecture : public testing::TestWithParam<const char*> {};

TEST_P(SharedArchitecture, EqualsTransformers) {
  const fs::path folder = fs::path("../shared/data/archs") / GetParam();
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is not here";
  const Json expected = read_json(folder.string() + ".json");
  const Model model = open_model(folder);
  const Decoder decoder = load_decoder(model);
  const Ids prompt = expected["prompt_ids"];
  EXPECT_EQ(model.require_tokenizer().encode(expected["prompt"].get<std::string>(), true), prompt);
  EXPECT_EQ(greedy(decoder, prompt, 64), expected["greedy_ids"].get<Ids>());
  Ids ids = model.require_tokenizer().encode(expected["text"].get<std::string>(), false);
  ids.resize(expected["window"]);
  expect_logits(decoder, ids, expected["logits_last"], 1e-4);
  EXPECT_NEAR(window_nll(decoder, ids), expected["mean_nll"].get<double>(), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Families, SharedArchitecture, testing::ValuesIn(kFamilies), test_name);

class RandomModel : public testing::TestWithParam<const char*> {};

TEST_P(RandomModel, EqualsTransformers) {
  const fs::path folder = fs::path("tests/golden/models") / GetParam();
  const Json expected = read_json(folder.string() + ".json");
  const Decoder decoder = load_decoder(open_model(folder));
  const Ids ids = expected["ids"];
  expect_logits(decoder, ids, expected["logits"], 1e-4);
  const Ids continuation = expected["greedy"];
  EXPECT_EQ(greedy(decoder, ids, continuation.size()), continuation);
  EXPECT_NEAR(window_nll(decoder, ids), expected["mean_nll"].get<double>(), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Architectures, RandomModel,
                         testing::Values("gpt2", "gpt2-bare", "llama", "llama-tied", "llama-biases",
                                         "llama-linear", "llama-llama3", "llama-yarn", "llama-bf16",
                                         "llama-f16", "llama-sharded", "mistral", "mistral-full",
                                         "qwen2", "qwen2-window", "qwen3", "opt", "opt-bare"),
                         test_name);

}  // namespace
}  // namespace nibble
