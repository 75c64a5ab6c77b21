// Models with LoRA adapters on them, of every architecture.
#include "nibble/model/adapted_model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "nibble/core/float_formats.h"
#include "nibble/core/transpose.h"
#include "nibble/model/stored_weights.h"
#include "nibble/quant/rtn.h"
#include "tests/support/adapters.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using test::adapter_noise;
using test::expect_error;
using test::put_adapter;
using test::random_adapter;

const std::vector<int32_t> kAdaptedIds = {3, 1, 4, 1, 5, 9, 2, 6};

// The model with W + weight * 3 * B A written out in f64.
Model changed_by_hand(const Model& model, const PeftAdapter& adapter, double weight) {
  TensorMap weights;
  for (const ParamSpec& p : parameter_table(model.config)) {
    Tensor w = load_weight(model, p).floats().clone();
    if (const auto found = adapter.pairs.find(module_of(p.name)); found != adapter.pairs.end()) {
      const auto a = found->second.a.data<float>(), b = found->second.b.data<float>();
      const auto k = static_cast<size_t>(p.shape[1]);
      const auto values = w.mutable_data<float>();
      for (size_t i = 0; i < values.size(); ++i) {
        double sum = 0;
        for (size_t j = 0; j < 2; ++j) sum += double{b[i / k * 2 + j]} * a[j * k + i % k];
        values[i] = static_cast<float>(values[i] + weight * 3 * sum);
      }
    }
    weights.emplace(p.name, std::move(w));
  }
  return in_memory(model.config, weights, CharTokenizer::from_text(kTinyText, true));
}

double largest_difference(const std::vector<float>& x, const std::vector<float>& y) {
  double most = 0;
  for (size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(double{x[i]} - y[i]));
  return most;
}

TEST(AdaptedModel, OfEveryArchitectureIsTheSumOfItsWeights) {
  const test::TempFolder t;
  for (const std::string_view type : architecture_names()) {
    const Model model = tiny_decoder(tiny_decoder_config(std::string(type)), 5);
    const PeftAdapter adapter = random_adapter(model.config, 11);
    ASSERT_FALSE(adapter.pairs.empty()) << type;
    const std::string path = put_adapter(t / std::string(type), adapter);
    const auto expected = logits_of_tokens(changed_by_hand(model, adapter, 0.7), kAdaptedIds);
    const auto beside = logits_of_tokens(with_adapters(model, {{path, 0.7}}), kAdaptedIds);
    const auto merged = logits_of_tokens(merged_model(model, {{path, 0.7}}, 2), kAdaptedIds);
    EXPECT_LT(largest_difference(beside, expected), 2e-4) << type;
    EXPECT_LT(largest_difference(merged, expected), 2e-4) << type;
    EXPECT_GT(largest_difference(logits_of_tokens(model, kAdaptedIds), expected), 0.1) << type;
  }
}

class Adapted : public testing::Test {
 protected:
  // A Llama in a folder, so that names begin with "model.".
  Adapted() : model_(open_model(write_tiny_decoder(llama(false), t_ / "model"))) {}

  static Model llama(bool tied) {
    DecoderConfig config = tiny_decoder_config("llama");
    config.tied = tied;
    config.name_prefix = "model.";
    return tiny_decoder(config, 5);
  }
  std::vector<float> logits(const PeftAdapter& adapter, const Model& model) {
    return logits_of_tokens(with_adapters(model, {{put_adapter(t_ / "a", adapter)}}), kAdaptedIds);
  }
  void corrupt(std::string_view words, const PeftAdapter& adapter) {
    expect_error(ErrorKind::corrupt, words,
                 [&] { with_adapters(model_, {{put_adapter(t_ / "a", adapter)}}); });
  }

  test::TempFolder t_;
  Model model_;
};

TEST_F(Adapted, SeveralAreAddedUp) {
  const PeftAdapter one = random_adapter(model_.config, 1);
  const std::string a = put_adapter(t_ / "one", one);
  PeftAdapter other = random_adapter(model_.config, 2);
  other.pairs.erase(other.pairs.begin());
  const std::string b = put_adapter(t_ / "other", other);
  const Model both = with_adapters(model_, {{a, 0.5}, {b, -1}});
  const auto expected =
      logits_of_tokens(changed_by_hand(changed_by_hand(model_, one, 0.5), other, -1), kAdaptedIds);
  EXPECT_LT(largest_difference(logits_of_tokens(both, kAdaptedIds), expected), 2e-4);
  // The same twice, once against itself, is the base.
  const auto none = logits_of_tokens(with_adapters(model_, {{a}, {a, -1}}), kAdaptedIds);
  EXPECT_LT(largest_difference(none, logits_of_tokens(model_, kAdaptedIds)), 1e-5);
}

TEST_F(Adapted, APackedBaseStaysPacked) {
  WeightMap packed;
  for (const ParamSpec& p : parameter_table(model_.config)) {
    Weight w = load_weight(model_, p);
    if (p.is_matrix() && p.layer >= 0)
      w = quantize_rtn(w.plain(), parse_scheme("nf4:g16"), {}, p.name);
    packed.emplace(p.name, std::move(w));
  }
  const Model base{"", model_.config, weights_in_memory(std::move(packed)), model_.companions};
  const PeftAdapter adapter = random_adapter(model_.config, 1);
  const Model adapted = with_adapters(base, {{put_adapter(t_ / "a", adapter)}});
  for (const ParamSpec& p : parameter_table(base.config)) {
    const Weight w = load_weight(adapted, p);
    EXPECT_EQ(w.is_quantized(), p.is_matrix() && p.layer >= 0);
    EXPECT_EQ(w.added() != nullptr, w.is_quantized());
  }
  EXPECT_EQ(scheme_summary(adapted), scheme_summary(base));
  const auto expected = logits_of_tokens(changed_by_hand(base, adapter, 1), kAdaptedIds);
  EXPECT_LT(largest_difference(logits_of_tokens(adapted, kAdaptedIds), expected), 2e-4);
}

TEST_F(Adapted, NamesMayLackThePrefix) {
  const PeftAdapter adapter = random_adapter(model_.config, 1);
  PeftAdapter bare = adapter;
  bare.pairs.clear();
  for (const auto& [name, pair] : adapter.pairs) bare.pairs[name.substr(6)] = pair;
  EXPECT_EQ(logits(bare, model_), logits(adapter, model_));
  // And so may the base's.
  DecoderConfig config = tiny_decoder_config("llama");
  config.name_prefix.clear();
  const Model headless = tiny_decoder(config, 5);
  const auto table = parameter_table(config);
  EXPECT_EQ(find_parameter(table, {Role::q, 0})->name, "layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(logits(adapter, headless), logits(adapter, model_));
}

TEST_F(Adapted, WholeModulesAreReplaced) {
  PyRandom random(3);
  PeftAdapter adapter = random_adapter(model_.config, 1);
  adapter.config.saved = {"lm_head", "norm"};
  adapter.replaced["lm_head.weight"] = {adapter_noise({50, 16}, random, 0.3), true};
  adapter.replaced["model.norm.weight"] = {adapter_noise({16}, random, 0.3), true};
  const auto found = logits(adapter, model_);
  TensorMap weights;
  for (const ParamSpec& p : parameter_table(model_.config)) {
    const auto replaced = adapter.replaced.find(p.name);
    weights.emplace(p.name, replaced == adapter.replaced.end() ? load_weight(model_, p).floats()
                                                               : replaced->second.tensor);
  }
  const Model by_hand =
      in_memory(model_.config, weights, CharTokenizer::from_text(kTinyText, true));
  EXPECT_LT(largest_difference(found,
                               logits_of_tokens(changed_by_hand(by_hand, adapter, 1), kAdaptedIds)),
            2e-4);
  const std::string path = put_adapter(t_ / "a", adapter);
  expect_error(ErrorKind::invalid_argument, "give it the weight 1", [&] {
    with_adapters(model_, {{path, 0.5}});
  });
  expect_error(ErrorKind::invalid_argument, "no finite number", [&] {
    with_adapters(model_, {{path, NAN}});
  });
}

TEST_F(Adapted, ATiedHeadBecomesAMatrixOfItsOwnWhereItAloneIsChanged) {
  const Model tied = llama(true);
  PyRandom random(3);
  PeftAdapter adapter;
  adapter.config.rank = 2;
  adapter.config.targets.list = {"lm_head"};
  adapter.pairs["lm_head"] = {adapter_noise({2, 16}, random, 0.3),
                              adapter_noise({50, 2}, random, 0.3), 4.0, false};
  const std::string path = put_adapter(t_ / "a", adapter);
  const Model adapted = with_adapters(tied, {{path}});
  EXPECT_FALSE(adapted.decoder_config().tied);
  EXPECT_NE(adapted.weights->get("lm_head.weight").added(), nullptr);
  EXPECT_EQ(adapted.weights->get("model.embed_tokens.weight").added(), nullptr);
  EXPECT_GT(largest_difference(logits_of_tokens(adapted, kAdaptedIds),
                               logits_of_tokens(tied, kAdaptedIds)),
            0.1);
  adapter.config.ties_weights = true;
  expect_error(ErrorKind::unsupported, "key \"ensure_weight_tying\"",
               [&] { with_adapters(tied, {{put_adapter(t_ / "b", adapter)}}); });
}

TEST_F(Adapted, WhatDoesNotFitTheModelIsNamed) {
  const PeftAdapter adapter = random_adapter(model_.config, 1);
  const std::string q = "model.layers.0.self_attn.q_proj";
  PeftAdapter bad = adapter;
  bad.pairs["model.layers.9.self_attn.q_proj"] = bad.pairs.at(q);
  corrupt("model.layers.9.self_attn.q_proj.lora_A\": the model has no such module", bad);
  bad = adapter;
  bad.pairs.at(q).a = Tensor(DType::f32, {2, 15});
  corrupt("q_proj.lora_A\": found [2, 15], but the module has 16 inputs", bad);
  bad = adapter;
  bad.pairs.at(q).b = Tensor(DType::f32, {17, 2});
  corrupt("q_proj.lora_B\": found [17, 2], but the module has 16 outputs", bad);
  bad = adapter;
  bad.pairs["model.norm"] = bad.pairs.at(q);
  corrupt("the module is no matrix", bad);
  bad = adapter;
  bad.replaced["model.norm.weight"] = {Tensor(DType::f32, Shape{16}), false};
  corrupt("modules_to_save does not name", bad);
  bad.config.saved = {"norm"};
  bad.replaced["model.norm.weight"] = {Tensor(DType::f32, Shape{17}), true};
  corrupt("expected shape [16] as the model has it, found [17]", bad);
  bad = adapter;
  bad.config.alpha = 1e38;
  for (float& v : bad.pairs.at(q).b.mutable_data<float>()) v = 1e10f;
  expect_error(ErrorKind::unsupported, "beyond the range of f32",
               [&] { with_adapters(model_, {{put_adapter(t_ / "a", bad)}}); });
}

}  // namespace
}  // namespace nibble
