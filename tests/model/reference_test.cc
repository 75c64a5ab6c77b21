// The definition of every decoder against the one that runs, and against what transformers computes
// for small random models (../shared/data/archs).
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "nibble/model/reference_layer.h"
#include "tests/model/families.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

double worst_difference(std::span<const float> got, std::span<const double> expected) {
  EXPECT_EQ(got.size(), expected.size());
  double worst = 0;
  for (size_t i = 0; i < std::min(got.size(), expected.size()); ++i)
    worst = std::max(worst, std::abs(double{got[i]} - expected[i]));
  return worst;
}

DecoderConfig small_gpt() {
  DecoderConfig c = preset("char").config;
  c.vocab_size = 50;
  c.hidden_size = 24;
  c.heads = c.kv_heads = 3;
  c.head_dim = 8;
  c.intermediate_size = 40;
  c.layers = 2;
  return c;
}

std::vector<std::pair<std::string, DecoderConfig>> configs() {
  std::vector<std::pair<std::string, DecoderConfig>> out;
  for (const char* type : {"micro_gpt", "gpt2", "opt", "llama", "mistral", "qwen2", "qwen3",
                           "mixtral", "gemma2", "lfm2"})
    out.emplace_back(type, tiny_decoder_config(type));
  out.emplace_back("char", small_gpt());
  DecoderConfig yarn = tiny_decoder_config("llama"), window = tiny_decoder_config("mistral"),
                exact = tiny_decoder_config("gpt2"), biased = tiny_decoder_config("lfm2");
  yarn.rope = {.theta = 100, .scaling = RopeScaling::yarn, .factor = 4, .original_context = 16};
  window.sliding_window = 3;
  window.layer_kinds = {LayerKind::full, LayerKind::window};
  exact.mlp = MlpKind::gelu;
  biased.conv_bias = true;
  out.emplace_back("yarn", yarn);
  out.emplace_back("window", window);
  out.emplace_back("exact gelu", exact);
  out.emplace_back("biased convolution", biased);
  return out;
}

TEST(Reference, IsWhatEveryDecoderComputes) {
  for (const auto& [name, config] : configs()) {
    SCOPED_TRACE(name);
    // Small weights: logits of about 1.
    const Model model = in_memory(config, random_weights(config, 11, 0.2),
                                  CharTokenizer::from_text(kTinyText, true));
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < std::min<int64_t>(40, config.context); ++i)
      ids.push_back(static_cast<int32_t>((i * 7 + 3) % config.vocab_size));
    const WeightLoader load = [&](const ParamSpec& p) { return load_weight(model, p); };
    const std::vector<double> expected = reference_logits(config, load, ids);
    EXPECT_LT(worst_difference(logits_of_tokens(model, ids), expected), 1e-5);
  }
}

// The tokens that come next; the mean loss and the last logits of a text.
class OfTransformers : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Archs, OfTransformers, testing::ValuesIn(kFamilies),
                         [](const auto& p) { return std::string(p.param); });

std::vector<double> logits_of(const Model& model, const std::vector<int32_t>& ids) {
  const WeightLoader load = [&](const ParamSpec& p) { return load_weight(model, p); };
  return reference_logits(model.decoder_config(), load, ids);
}

TEST_P(OfTransformers, TheDefinitionAgrees) {
  const fs::path folder = fs::path("../shared/data/archs") / GetParam();
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder;
  const auto known = nlohmann::json::parse(std::ifstream(folder.string() + ".json"));
  const Model model = open_model(folder);
  const auto prompt = known.at("prompt_ids").get<std::vector<int32_t>>();
  const auto last = known.at("logits_last").get<std::vector<double>>();
  const size_t n = last.size();
  auto ids = prompt;
  for (const auto& id : known.at("greedy_ids")) ids.push_back(id.get<int32_t>());
  std::vector<double> logits = logits_of(model, ids);
  for (size_t r = prompt.size() - 1; r + 1 < ids.size(); ++r) {
    const auto row = logits.begin() + static_cast<int64_t>(r * n);
    EXPECT_EQ(std::max_element(row, row + static_cast<int64_t>(n)) - row, ids[r + 1]) << r;
  }

  ids = model.require_tokenizer().encode(known.at("text").get<std::string>(), false);
  ids.resize(std::min<size_t>(ids.size(), known.at("window").get<size_t>()));
  logits = logits_of(model, ids);
  double loss = 0;
  for (size_t r = 0; r + 1 < ids.size(); ++r) {
    double sum = 0;
    for (size_t j = 0; j < n; ++j) sum += std::exp(logits[r * n + j]);
    loss += std::log(sum) - logits[r * n + static_cast<size_t>(ids[r + 1])];
  }
  double scale = 1;  // of the logits
  for (const double v : last) scale = std::max(scale, std::abs(v));
  for (size_t i = 0; i < n; ++i)
    ASSERT_NEAR(logits[logits.size() - n + i], last[i], 1e-4 * scale) << i;
  EXPECT_NEAR(loss / static_cast<double>(ids.size() - 1), known.at("mean_nll").get<double>(), 2e-5);
}

class OfGoldenModels : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Trained, OfGoldenModels,
                         testing::Values("gpt2-shakespeare", "gpt2-shakespeare-outliers",
                                         "llama-shakespeare", "llama-shakespeare-outliers",
                                         "stories260k"));

TEST_P(OfGoldenModels, TheDefinitionAgrees) {
  const std::string name = GetParam();
  const fs::path folder = fs::path("../shared/data/models") / name;
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder;
  const auto known = nlohmann::json::parse(std::ifstream("../shared/golden/" + name + ".json"));
  const auto last = known.at("logits_last").get<std::vector<double>>();
  const std::vector<double> logits =
      logits_of(open_model(folder), known.at("prompt_ids").get<std::vector<int32_t>>());
  for (size_t i = 0; i < last.size(); ++i)
    ASSERT_NEAR(logits[logits.size() - last.size() + i], last[i], 1e-4) << i;
}

}  // namespace
}  // namespace nibble
