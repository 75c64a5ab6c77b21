// Experts of architectures whose files stack them are written as those have them, and read back.
#include "nibble/model/written_tensors.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/support/temp_folder.h"
#include "tests/support/tiny_decoders.h"

namespace nibble {
namespace {

std::map<std::string, Shape> shapes_in(const std::string& folder) {
  std::map<std::string, Shape> out;
  const auto tensors = open_safetensors_folder(folder);
  for (const TensorInfo& i : tensors->list()) out[i.name] = i.shape;
  return out;
}

// 4 experts of width 12 or 24 that read 16.
TEST(WrittenTensors, StackExpertsWhereOtherProgramsLookForStacks) {
  const std::vector<int32_t> ids = {3, 1, 18, 7, 7, 2, 11, 40, 3};
  const std::string gpt_oss = "model.layers.0.mlp.experts.", gemma = "model.layers.1.experts.";
  const std::map<std::string, std::map<std::string, Shape>> expected = {
      {"gpt_oss",
       {{gpt_oss + "gate_up_proj", Shape{4, 16, 48}},
        {gpt_oss + "down_proj", Shape{4, 24, 16}},
        {gpt_oss + "gate_up_proj_bias", Shape{4, 48}},
        {gpt_oss + "down_proj_bias", Shape{4, 16}}}},
      {"gemma4_text",
       {{gemma + "gate_up_proj", Shape{4, 24, 16}}, {gemma + "down_proj", Shape{4, 16, 12}}}}};
  for (const auto& [type, stacks] : expected) {
    const Model model = tiny_decoder(tiny_decoder_config(type), 13);
    const test::TempFolder folder;
    write_tiny_decoder(model, folder.path());
    const std::map<std::string, Shape> found = shapes_in(folder.path());
    for (const auto& [name, shape] : stacks) {
      ASSERT_TRUE(found.contains(name)) << name;
      EXPECT_EQ(found.at(name), shape) << name;
    }
    for (const auto& [name, shape] : found)
      EXPECT_EQ(name.find("experts.0."), std::string::npos) << name;
    EXPECT_EQ(logits_of_tokens(open_model(folder.path()), ids), logits_of_tokens(model, ids));
  }
}

TEST(WrittenTensors, AStackIsPlainOrThereIsNone) {
  std::vector<WritableParameter> parameters;
  for (const ParamSpec& p : parameter_table(tiny_decoder_config("gpt_oss"))) {
    const bool quantized = p.layer == 1 && p.expert == 2 && p.role == Role::up && !p.bias;
    parameters.push_back(
        {p, quantized ? std::optional(parse_scheme("int8")) : std::nullopt, DType::f32, nullptr});
  }
  std::map<std::string, int> count;
  for (const LazyTensor& t : written_tensors(parameters, nullptr)) ++count[t.info.name];
  for (const auto& [name, times] : count) EXPECT_EQ(times, 1) << name;
  EXPECT_TRUE(count.contains("model.layers.0.mlp.experts.gate_up_proj"));
  EXPECT_FALSE(count.contains("model.layers.1.mlp.experts.gate_up_proj"));
  EXPECT_FALSE(count.contains("model.layers.1.mlp.experts.down_proj_bias"));
  EXPECT_TRUE(count.contains("model.layers.1.mlp.experts.3.down_proj.bias"));
}

// Most architectures' experts are looked for one by one.
TEST(WrittenTensors, AreOneForEachParameterElsewhere) {
  const std::vector<ParamSpec> table = parameter_table(tiny_decoder_config("qwen3_moe"));
  std::vector<WritableParameter> parameters;
  for (const ParamSpec& p : table) parameters.push_back({p, std::nullopt, DType::f32, nullptr});
  const std::vector<LazyTensor> tensors = written_tensors(parameters, nullptr);
  ASSERT_EQ(tensors.size(), table.size());
  for (size_t i = 0; i < table.size(); ++i) EXPECT_EQ(tensors[i].info.name, table[i].name);
}

}  // namespace
}  // namespace nibble
