// What goes into each projection, as the sums of a model's own walk have it.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "nibble/eval/activations.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

const std::vector<std::vector<int32_t>> kSequences = {
    {1, 2, 3, 4, 5}, {6}, {7, 8, 9, 10, 11, 12, 13}, {14, 15, 16}};  // 4 + 0 + 6 + 2 inputs

std::map<std::string, OutlierStats> outliers_of(const Model& model, int64_t rows) {
  std::map<std::string, OutlierStats> out;
  for (OutlierStats& s : activation_outliers(model, kSequences, rows, 2, Exec{}))
    out.emplace(s.tensor, s);
  return out;
}

TEST(ActivationOutliers, AreOfEveryWeightThatReadsRows) {
  for (const char* type : {"llama", "gpt2", "gemma2", "lfm2", "micro_gpt"}) {
    const Model model = tiny_decoder(tiny_decoder_config(type), 5);
    const DecoderConfig config = model.decoder_config();
    std::set<std::string> expected, found;
    for (const ParamSpec& p : parameter_table(config)) {
      if (p.is_matrix() && (p.layer >= 0 || p.role == Role::lm_head)) expected.insert(p.name);
    }
    if (config.tied) expected.insert("lm_head (tied)");
    for (const auto& [name, stats] : outliers_of(model, 1000)) {
      found.insert(name);
      EXPECT_EQ(stats.moments.count, 12 * std::ssize(stats.by_channel)) << name;
    }
    EXPECT_EQ(found, expected) << type;
  }
}

TEST(ActivationOutliers, EndWhereRowsEnoughAreThere) {
  const Model model = tiny_decoder(tiny_decoder_config("llama"), 5);
  for (const auto& [name, stats] : outliers_of(model, 7))
    EXPECT_EQ(stats.moments.count, 7 * std::ssize(stats.by_channel)) << name;
}

// The first input is the embedding behind its norm: worked out here from the weights.
TEST(ActivationOutliers, OfTheFirstInputAreThoseOfTheNormedEmbedding) {
  const Model model = tiny_decoder(tiny_decoder_config("llama"), 5);
  const Tensor table = model.weights->get("model.embed_tokens.weight").plain(),
               gain = model.weights->get("model.layers.0.input_layernorm.weight").plain();
  const size_t width = 16;
  std::vector<float> by_channel;
  for (size_t c = 0; c < width; ++c) {
    for (const auto& s : kSequences) {
      for (size_t i = 0; i + 1 < s.size(); ++i) {
        const auto row = table.data<float>().subspan(static_cast<size_t>(s[i]) * width, width);
        double squares = 0;
        for (const float v : row) squares += double{v} * v;
        by_channel.push_back(
            static_cast<float>(row[c] / std::sqrt(squares / width + 1e-6) * gain.data<float>()[c]));
      }
    }
  }
  const OutlierStats expected = find_outliers("w", by_channel, width, 12, 2);
  const auto all = outliers_of(model, 1000);
  for (const char* name : {"q_proj", "k_proj", "v_proj"}) {
    const OutlierStats& s = all.at("model.layers.0.self_attn." + std::string(name) + ".weight");
    EXPECT_NEAR(s.moments.mean, expected.moments.mean, 1e-6);
    EXPECT_NEAR(s.moments.absmax, expected.moments.absmax, 1e-5);
    EXPECT_NEAR(s.moments.standard_deviation, expected.moments.standard_deviation, 1e-6);
    EXPECT_EQ(s.by_channel, expected.by_channel);
    EXPECT_EQ(s.worst_channel, expected.worst_channel);
    EXPECT_GT(s.outliers, 0) << "beyond two deviations there are some";
  }
}

}  // namespace
}  // namespace nibble
