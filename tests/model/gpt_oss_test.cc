// gpt-oss: experts as its files stack them, in floats and in MXFP4, and what its config may say.
#include <gtest/gtest.h>

#include "nibble/model/renamed_tensors.h"
#include "tests/format/layout_goldens.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

using nlohmann::json;

const std::string kExperts = "model.layers.0.mlp.experts";

// The values of a weight of one expert, as a folder with these tensors has it.
std::vector<float> expert_values(const TensorSource& tensors, int64_t expert,
                                 const std::string& part) {
  const std::string module = kExperts + "." + std::to_string(expert) + "." + part;
  const MatrixModule matrix{module, "Linear"};
  const StoredModules modules = read_quantization_config(
      test::fields_of({{"quant_method", "mxfp4"}, {"modules_to_not_convert", {"lm_head"}}}),
      {&matrix, 1}, tensors);
  const QuantScheme& scheme = modules.schemes.at(module);
  EXPECT_EQ(to_string(scheme), "mxfp4");
  require_stored(tensors, module + ".weight", scheme, modules.layout);
  const Tensor w = dequantize(from_tensors(tensors, module + ".weight", scheme, modules.layout));
  return {w.data<float>().begin(), w.data<float>().end()};
}

// Row r of the weight is column first + step * r of the golden, [experts, inputs, outputs].
void expect_columns(const std::vector<float>& found, const json& golden, int64_t expert,
                    int64_t first, int64_t step) {
  const std::vector<float> all = test::floats_of(golden.at("values"));
  const auto shape = golden.at("shape").get<std::vector<int64_t>>();
  const int64_t inputs = shape[1], outputs = shape[2];
  ASSERT_EQ(std::ssize(found), inputs * outputs / step);
  for (int64_t i = 0; i < std::ssize(found); ++i) {
    const int64_t column = first + step * (i / inputs), row = i % inputs;
    ASSERT_EQ(found[static_cast<size_t>(i)],
              all[static_cast<size_t>((expert * inputs + row) * outputs + column)])
        << i;
  }
}

TEST(GptOss, ExpertsInMxfp4HaveTheNumbersOfTransformers) {
  const json goldens = test::layout_goldens("gpt_oss_mxfp4.json");
  TensorMap stored{{kExperts + ".gate_up_proj_bias", Tensor(DType::bf16, Shape{3, 10})}};
  for (const json& g : goldens) {
    for (auto& [name, tensor] : test::tensors_in(g)) stored.emplace(kExperts + "." + name, tensor);
  }
  const auto tensors = renamed_tensors(std::make_unique<MemorySource>(std::move(stored)));
  for (const int64_t e : {0, 1, 2}) {
    expect_columns(expert_values(*tensors, e, "gate_proj"), goldens[0], e, 0, 2);
    expect_columns(expert_values(*tensors, e, "up_proj"), goldens[0], e, 1, 2);
    expect_columns(expert_values(*tensors, e, "down_proj"), goldens[1], e, 0, 1);
  }
}

TEST(GptOss, RefusesWhatItsExpertsDoNotDo) {
  const std::string plain = tiny_decoder_json("gpt_oss");
  const auto with = [&](const std::string& key) {
    return architecture("gpt_oss").read_config(
        JsonFields::parse("{" + key + ", " + plain.substr(1)));
  };
  EXPECT_EQ(with(R"("swiglu_limit": 7.0)"), with(R"("swiglu_alpha": 1.702)"));
  for (const char* key : {R"("swiglu_limit": 6.0)", R"("swiglu_alpha": 1.0)",
                          R"("hidden_act": "gelu")", R"("experts_per_token": 3)"}) {
    const std::string name = std::string(key).substr(1, std::string(key).find('"', 1) - 1);
    test::expect_error(ErrorKind::unsupported, name, [&] { with(key); });
  }
}

// What transformers takes for what is absent.
TEST(GptOss, HasTheDefaultsOfTransformers) {
  const DecoderConfig c = architecture("gpt_oss").read_config(JsonFields::parse(
      R"({"model_type": "gpt_oss", "vocab_size": 50, "hidden_size": 128, "intermediate_size": 24,
          "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 64,
          "num_local_experts": 4, "num_experts_per_tok": 2})"));
  EXPECT_EQ(c.head_dim, 64);
  EXPECT_EQ(c.sliding_window, 128);
  EXPECT_EQ(c.layer_kinds, (std::vector{LayerKind::window, LayerKind::full}));
  EXPECT_EQ(c.rope.scaling, RopeScaling::yarn);
  EXPECT_EQ(c.rope.theta, 150000);
  EXPECT_EQ(c.rope.factor, 32);
  EXPECT_FALSE(c.rope.truncate);
}

}  // namespace
}  // namespace nibble
