// The decoder against its definition in f64, and the folder that holds it.
#include <gtest/gtest.h>

#include "nibble/core/error.h"
#include "nibble/model/reference_layer.h"
#include "nibble/model/session.h"
#include "tests/support/layer_walks.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

DecoderConfig char_like() {
  DecoderConfig c = preset("char").config;
  c.vocab_size = 21;
  c.hidden_size = 24;
  c.heads = c.kv_heads = 3;
  c.head_dim = 8;
  c.intermediate_size = 40;
  c.layers = 2;
  c.context = 12;
  return c;
}

DecoderConfig gpt2_like() {
  DecoderConfig c = char_like();
  c.norm = NormKind::layer;
  c.norm_gain = c.norm_bias = c.final_norm = true;
  c.embedding_norm = false;
  c.mlp = MlpKind::gelu_tanh;
  c.qkv_bias = c.o_bias = c.mlp_bias = c.tied = true;
  return c;
}

DecoderConfig micro() {
  DecoderConfig c = preset("micro").config;
  c.vocab_size = 27;
  return c;
}

class BothSides : public testing::TestWithParam<DecoderConfig> {};

TEST_P(BothSides, AgreeOnLogits) {
  const DecoderConfig config = GetParam();
  const TensorMap weights = random_weights(config, 11, 0.2);
  const Decoder decoder(config,
                        [&](const ParamSpec& p) -> Weight { return weights.find(p.name)->second; });
  PyRandom random(3);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < config.context; ++i) {
    ids.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(config.vocab_size))));
  }
  const auto expected = reference_logits(
      config, [&](const ParamSpec& p) -> Weight { return weights.find(p.name)->second; }, ids);
  KvCache cache = decoder.make_cache(config.context);
  const auto got = decoder.forward(ids, cache, Decoder::Logits::all, Exec{});
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], 1e-5) << i;
}

TEST_P(BothSides, OneTokenAtATimeGivesTheSameAsAllAtOnce) {
  const DecoderConfig config = GetParam();
  const TensorMap weights = random_weights(config, 12, 0.2);
  const Decoder decoder(config,
                        [&](const ParamSpec& p) -> Weight { return weights.find(p.name)->second; });
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < config.context; ++i)
    ids.push_back(static_cast<int32_t>(i % config.vocab_size));
  KvCache all = decoder.make_cache(config.context), single = decoder.make_cache(config.context);
  const auto expected = decoder.forward(ids, all, Decoder::Logits::all, Exec{});
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto row =
        decoder.forward(std::span(ids).subspan(i, 1), single, Decoder::Logits::last, Exec{});
    for (size_t j = 0; j < row.size(); ++j)
      ASSERT_EQ(row[j], expected[i * row.size() + j]) << i << " " << j;
  }
}

// What a sequence is given does not depend on who is computed beside it, nor on threads.
TEST_P(BothSides, SequencesDecodedTogetherGetWhatTheyGetAlone) {
  const DecoderConfig config = GetParam();
  const TensorMap weights = random_weights(config, 13, 0.2);
  const Decoder decoder(config,
                        [&](const ParamSpec& p) -> Weight { return weights.find(p.name)->second; });
  const auto token = [&](int64_t sequence, int64_t at) {
    return static_cast<int32_t>((sequence * 5 + at * 3 + 1) % config.vocab_size);
  };
  constexpr int64_t kSequences = 6, kSteps = 4;
  std::vector<std::vector<float>> alone;
  for (int64_t s = 0; s < kSequences; ++s) {
    KvCache cache = decoder.make_cache(config.context);
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < s + kSteps; ++i) ids.push_back(token(s, i));
    alone.push_back(decoder.forward(ids, cache, Decoder::Logits::last, Exec{}));
  }
  for (const int threads : {1, 3}) {
    Exec exec;
    exec.threads = threads;
    std::vector<KvCache> caches;
    for (int64_t s = 0; s < kSequences; ++s) {
      caches.push_back(decoder.make_cache(config.context));
      for (int64_t i = 0; i < s; ++i) {
        const int32_t id = token(s, i);
        EXPECT_TRUE(decoder.forward({&id, 1}, caches.back(), Decoder::Logits::none, exec).empty());
      }
    }
    Session session(decoder);
    std::vector<float> logits;
    for (int64_t i = 0; i < kSteps; ++i) {
      std::vector<int32_t> ids;
      for (int64_t s = 0; s < kSequences; ++s) ids.push_back(token(s, s + i));
      std::vector<Decoder::Item> batch;
      for (size_t s = 0; s < ids.size(); ++s) batch.push_back({{&ids[s], 1}, &caches[s]});
      const auto got = session.run(batch, exec);
      logits.assign(got.begin(), got.end());
    }
    const auto width = static_cast<size_t>(config.vocab_size);
    for (size_t s = 0; s < alone.size(); ++s) {
      for (size_t j = 0; j < width; ++j)
        ASSERT_EQ(logits[s * width + j], alone[s][j]) << threads << " " << s << " " << j;
    }
  }
}

// Prompts and single tokens go through in one pass; where one of them is refused, no cache moves.
TEST_P(BothSides, APromptBesideATokenGivesWhatEachGivesAlone) {
  const DecoderConfig config = GetParam();
  const TensorMap weights = random_weights(config, 15, 0.2);
  const Decoder decoder(config,
                        [&](const ParamSpec& p) -> Weight { return weights.find(p.name)->second; });
  const std::vector<int32_t> first = {1, 2, 3}, prompt = {4, 3, 2, 1, 0}, token = {2};
  const std::vector<int32_t> wrong = {0, static_cast<int32_t>(config.vocab_size)};
  KvCache a = decoder.make_cache(8), b = decoder.make_cache(8), c = decoder.make_cache(8);
  decoder.forward(first, a, Decoder::Logits::none, Exec{});
  decoder.forward(first, b, Decoder::Logits::none, Exec{});
  const auto behind = decoder.forward(token, b, Decoder::Logits::last, Exec{});
  b.clear();
  const auto all = decoder.forward(prompt, b, Decoder::Logits::all, Exec{});
  std::vector<float> expected = behind;
  expected.insert(expected.end(), all.begin(), all.end());
  Session session(decoder);
  Exec two;
  two.threads = 2;
  const Decoder::Item refused[] = {{token, &a, Decoder::Logits::last}, {wrong, &c}};
  EXPECT_THROW(session.run(refused, Exec{}), Error);
  const Decoder::Item twice[] = {{token, &a}, {prompt, &a}};
  EXPECT_THROW(session.run(twice, Exec{}), Error);
  EXPECT_EQ(a.length(), 3);
  EXPECT_EQ(c.length(), 0);
  const Decoder::Item batch[] = {{token, &a}, {{}, &b}, {prompt, &c, Decoder::Logits::all}};
  const auto got = session.run(batch, two);
  EXPECT_EQ(std::vector<float>(got.begin(), got.end()), expected);
  EXPECT_EQ(a.length(), 4);
  EXPECT_EQ(c.length(), 5);
}

// Layer by layer, and site by site, as calibration runs them, gives what the whole pass gives.
TEST_P(BothSides, LayersOneAtATimeGiveTheSame) {
  const DecoderConfig config = GetParam();
  const TensorMap weights = random_weights(config, 14, 0.2);
  expect_walks_agree(config,
                     [&](const ParamSpec& p) -> Weight { return weights.find(p.name)->second; });
}

INSTANTIATE_TEST_SUITE_P(Configs, BothSides, testing::Values(micro(), char_like(), gpt2_like()));

TEST(Decoder, RefusesWhatDoesNotFit) {
  const DecoderConfig config = micro();
  const TensorMap weights = random_weights(config, 1);
  const Decoder decoder(config,
                        [&](const ParamSpec& p) -> Weight { return weights.find(p.name)->second; });
  KvCache cache = decoder.make_cache(100);
  const std::vector<int32_t> outside{27}, negative{-1}, many(17, 0);
  EXPECT_THROW(decoder.forward(outside, cache, Decoder::Logits::all, Exec{}), Error);
  EXPECT_THROW(decoder.forward(negative, cache, Decoder::Logits::all, Exec{}), Error);
  try {
    decoder.forward(many, cache, Decoder::Logits::all, Exec{});
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_NE(e.reason().find("17"), std::string::npos) << e.reason();
    EXPECT_NE(e.reason().find("16"), std::string::npos) << e.reason();
  }
}

TEST(Model, EveryConfigComesBackFromItsFolder) {
  const test::TempFolder folder;
  for (const DecoderConfig& config : {micro(), char_like(), gpt2_like()}) {
    const TensorMap weights = random_weights(config, 5);
    write_model(folder.path(), config, weights, nullptr);
    const Model back = open_model(folder.path());
    EXPECT_EQ(back.decoder_config(), config);
    for (const auto& [name, tensor] : weights) {
      const Tensor read = back.weights->get(name).plain();
      EXPECT_TRUE(std::equal(read.data<float>().begin(), read.data<float>().end(),
                             tensor.data<float>().begin()));
    }
  }
}

TEST(Model, NamesWhatIsMissingOrWrong) {
  const test::TempFolder folder;
  const DecoderConfig config = micro();
  TensorMap weights = random_weights(config, 5);
  const auto message = [&](const TensorMap& w) -> std::string {
    std::vector<NamedTensor> tensors;
    for (const auto& [name, tensor] : w) tensors.push_back({name, tensor});
    write_model(folder.path(), config, weights, nullptr);
    write_safetensors((folder / "model.safetensors"), tensors);
    try {
      open_model(folder.path());
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::corrupt);
      return e.what();
    }
    return "no error";
  };
  TensorMap fewer = weights;
  fewer.erase("layers.0.attn.wk.weight");
  EXPECT_NE(message(fewer).find("layers.0.attn.wk.weight"), std::string::npos);
  TensorMap other = weights;
  other.find("wpe.weight")->second = Tensor(DType::f32, Shape{3, 16});
  const std::string wrong = message(other);
  EXPECT_NE(wrong.find("[16, 16]"), std::string::npos) << wrong;
  EXPECT_NE(wrong.find("[3, 16]"), std::string::npos) << wrong;
}

}  // namespace
}  // namespace nibble
