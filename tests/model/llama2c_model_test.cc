// llama2.c's .bin files give the same logits as the tensors they were made of.
#include <gtest/gtest.h>

#include <filesystem>

#include "nibble/core/float_formats.h"
#include "nibble/model/model.h"
#include "tests/support/llama2c_bytes.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

using test::Llama2cWriter;

DecoderConfig tiny_llama(bool tied) {
  DecoderConfig c;
  c.architecture = "llama";
  c.name_prefix = "model.";
  c.vocab_size = 19, c.hidden_size = 16, c.intermediate_size = 24, c.layers = 2;
  c.heads = 4, c.kv_heads = 2, c.head_dim = 4, c.context = 12;
  c.norm = NormKind::rms, c.norm_gain = c.final_norm = true, c.norm_eps = 1e-5;
  c.position = PositionKind::rotary, c.mlp = MlpKind::silu_gated, c.tied = tied;
  return c;
}

std::vector<float> values(const Tensor& t) {
  std::vector<float> out(static_cast<size_t>(t.elements()));
  to_f32(t, out);
  return out;
}

std::vector<float> logits(const Decoder& decoder) {
  const std::vector<int32_t> ids{3, 1, 18, 7, 7, 2, 11};
  KvCache cache = decoder.make_cache(12);
  return decoder.forward(ids, cache, Decoder::Logits::all, Exec{});
}

class Llama2cModel : public testing::TestWithParam<std::tuple<int, bool>> {};

TEST_P(Llama2cModel, GivesTheLogitsOfItsWeights) {
  const auto [version, tied] = GetParam();
  constexpr int32_t kGroup = 8;
  const DecoderConfig config = tiny_llama(tied);
  TensorMap weights = random_weights(config, 4);
  const auto value = [&](const std::string& name) { return values(weights.at(name)); };
  const test::TempFolder folder;
  test::put_file(folder / "model.bin", Llama2cWriter(config, value, version, kGroup).bytes());
  const Model model = open_model(folder / "model.bin");
  EXPECT_EQ(model.decoder_config(), config);
  if (version == 2) {
    for (const ParamSpec& p : parameter_table(config)) {
      if (!p.is_matrix()) continue;
      Tensor& t = weights.at(p.name);
      t = Tensor::from<float>(p.shape, Llama2cWriter::rounded(values(t), kGroup));
    }
  }
  const Decoder direct(config, [&](const ParamSpec& p) -> Weight { return weights.at(p.name); });
  const auto expected = logits(direct), got = logits(load_decoder(model));
  ASSERT_EQ(got.size(), expected.size());
  const float tolerance = version == 2 ? 1e-5f : 0.0f;
  for (size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], expected[i], tolerance) << i;
}

INSTANTIATE_TEST_SUITE_P(Versions, Llama2cModel,
                         testing::Combine(testing::Values(0, 1, 2), testing::Bool()));

TEST(Llama2cModel, StoriesGiveTheLogitsOfTheirFolder) {
  const std::string path = "../shared/data/models/stories260k";
  if (test::lacks_shared(path)) GTEST_SKIP() << path;
  const Model source = open_model(path);
  const auto value = [&](const std::string& name) {
    return values(source.weights->get(name).plain());
  };
  const test::TempFolder folder;
  for (const int version : {0, 1}) {
    test::put_file(folder / "s.bin",
                   Llama2cWriter(source.decoder_config(), value, version).bytes());
    EXPECT_EQ(logits(load_decoder(open_model(folder / "s.bin"))), logits(load_decoder(source)));
  }
}

TEST(Llama2cModel, BecomesAFolderThatGivesTheSame) {
  const DecoderConfig config = tiny_llama(false);
  const TensorMap weights = random_weights(config, 4);
  const auto value = [&](const std::string& name) { return values(weights.at(name)); };
  const test::TempFolder folder, out;
  test::put_file(folder / "model.bin", Llama2cWriter(config, value, 0).bytes());
  const Model model = open_model(folder / "model.bin");
  std::vector<WritableParameter> parameters;
  for (const ParamSpec& p : parameter_table(config)) {
    parameters.push_back({p, std::nullopt, DType::f32, [&, p] { return load_weight(model, p); }});
  }
  std::vector<std::string> warnings;
  write_model_like(model, out.path(), parameters, warnings);
  EXPECT_TRUE(warnings.empty());
  const Model back = open_model(out.path());
  EXPECT_EQ(back.decoder_config(), config);
  EXPECT_EQ(logits(load_decoder(back)), logits(load_decoder(model)));
}

}  // namespace
}  // namespace nibble
