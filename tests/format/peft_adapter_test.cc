// Adapters as PEFT writes them, and files that are none.
#include "nibble/format/peft_adapter.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <vector>

#include "nibble/core/float_formats.h"
#include "nibble/format/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

Tensor counting(Shape shape, float first = 1) {
  Tensor out(DType::f32, std::move(shape));
  for (float& v : out.mutable_data<float>()) v = first++;
  return out;
}

const std::string kQ = "base_model.model.model.layers.0.q";

// r = 2, n = 3, k = 4.
std::vector<NamedTensor> one_pair() {
  return {{kQ + ".lora_A.weight", counting({2, 4})}, {kQ + ".lora_B.weight", counting({3, 2}, 9)}};
}

class PeftAdapterFiles : public testing::Test {
 protected:
  PeftAdapter read(const std::vector<NamedTensor>& tensors,
                   const std::string& keys = R"("target_modules": ["q"])") const {
    test::put_file(folder_ / "adapter_config.json",
                   R"({"peft_type": "LORA", "r": 2, "lora_alpha": 3, )" + keys + "}");
    write_safetensors(folder_ / "adapter_model.safetensors", tensors);
    return read_peft_adapter(folder_.path());
  }
  void corrupt(std::string_view words, const std::vector<NamedTensor>& tensors,
               const std::string& keys = R"("target_modules": ["q"])") const {
    expect_error(ErrorKind::corrupt, words, [&] { read(tensors, keys); });
  }
  test::TempFolder folder_;
};

TEST_F(PeftAdapterFiles, APairHasTheScaleOfTheConfig) {
  const PeftAdapter adapter = read(one_pair());
  ASSERT_EQ(adapter.pairs.size(), 1u);
  const PeftPair& pair = adapter.pairs.at("model.layers.0.q");
  EXPECT_EQ(pair.a.shape(), (Shape{2, 4}));
  EXPECT_EQ(pair.b.shape(), (Shape{3, 2}));
  EXPECT_EQ(pair.scale, 1.5);
  EXPECT_FALSE(pair.embedding);
  // The file itself may be named.
  EXPECT_EQ(read_peft_adapter(folder_ / "adapter_model.safetensors").pairs.size(), 1u);
}

TEST_F(PeftAdapterFiles, TablesLieTransposed) {
  const std::string e = "base_model.model.model.e";
  const PeftAdapter adapter = read(
      {{e + ".lora_embedding_A", counting({2, 5})}, {e + ".lora_embedding_B", counting({3, 2})}},
      R"("target_modules": ["e"])");
  const PeftPair& pair = adapter.pairs.at("model.e");
  EXPECT_TRUE(pair.embedding);
  EXPECT_EQ(pair.a.shape(), (Shape{2, 3}));
  EXPECT_EQ(pair.b.shape(), (Shape{5, 2}));
  EXPECT_EQ(pair.b.data<float>()[1], 6);
}

TEST_F(PeftAdapterFiles, WholeParametersSayWhoNamedThem) {
  std::vector<NamedTensor> tensors = one_pair();
  tensors.push_back({"base_model.model.lm_head.weight", counting({2, 2})});
  tensors.push_back({kQ + ".base_layer.bias", counting({3})});
  const PeftAdapter adapter =
      read(tensors, R"("target_modules": ["q"], "modules_to_save": ["lm_head"])");
  EXPECT_TRUE(adapter.replaced.at("lm_head.weight").saved);
  EXPECT_FALSE(adapter.replaced.at("model.layers.0.q.bias").saved);
}

TEST_F(PeftAdapterFiles, IsWrittenAsItIsRead) {
  PeftAdapter adapter;
  adapter.config.rank = 2;
  adapter.config.targets.list = {"q", "e"};
  adapter.config.saved = {"lm_head"};
  adapter.pairs["model.layers.0.q"] = {counting({2, 4}), convert(counting({3, 2}), DType::bf16),
                                       4.0, false};
  adapter.pairs["model.e"] = {counting({2, 3}), counting({5, 2}), 4.0, true};
  adapter.replaced["lm_head.weight"] = {counting({2, 2}), true};
  adapter.replaced["model.layers.0.q.bias"] = {counting({3}), false};
  write_peft_adapter(folder_.path(), adapter);
  const PeftAdapter again = read_peft_adapter(folder_.path());
  const auto tensors = open_safetensors(folder_ / "adapter_model.safetensors");
  EXPECT_TRUE(tensors->contains(kQ + ".base_layer.bias"));
  EXPECT_TRUE(tensors->contains("base_model.model.lm_head.weight"));
  EXPECT_TRUE(again.replaced.contains("model.layers.0.q.bias"));
  EXPECT_EQ(again.config, adapter.config);
  ASSERT_EQ(again.pairs.size(), 2u);
  for (const auto& [module, pair] : adapter.pairs) {
    const PeftPair& other = again.pairs.at(module);
    EXPECT_EQ(other.embedding, pair.embedding);
    EXPECT_EQ(other.b.dtype(), pair.b.dtype());
    EXPECT_TRUE(std::ranges::equal(convert(other.a, DType::f32).data<float>(),
                                   convert(pair.a, DType::f32).data<float>()));
    EXPECT_TRUE(std::ranges::equal(convert(other.b, DType::f32).data<float>(),
                                   convert(pair.b, DType::f32).data<float>()));
  }
  EXPECT_TRUE(again.replaced.at("lm_head.weight").saved);
}

TEST_F(PeftAdapterFiles, WhatDoesNotFitIsNamed) {
  std::vector<NamedTensor> tensors = one_pair();
  corrupt("lora_B.weight\": missing", {tensors[0]});
  corrupt("lora_A.weight\": missing", {tensors[1]});
  corrupt("lora_A.weight\": adapter_config.json says nothing", tensors,
          R"("target_modules": ["v"])");
  corrupt("lora_A.weight\": expected 2 rows", {{tensors[0].name, counting({3, 4})}, tensors[1]});
  corrupt("lora_B.weight\": expected 2 columns", {tensors[0], {tensors[1].name, counting({2, 3})}});
  corrupt("lora_A.weight\": expected a matrix",
          {{tensors[0].name, counting({2, 4, 1})}, tensors[1]});
  corrupt("expected a name that begins with", {{"q.lora_A.weight", counting({2, 4})}});
  corrupt("holds no tensor", {});
  corrupt("modules_to_save names \"lm_head\"", tensors,
          R"("target_modules": ["q"], "modules_to_save": ["lm_head"])");
  tensors[1].tensor.mutable_data<float>()[5] = std::numeric_limits<float>::quiet_NaN();
  corrupt("lora_B.weight\": row 2 col 1 is NaN", tensors);
}

TEST_F(PeftAdapterFiles, WhatNibbleDoesNotDoIsNamed) {
  std::vector<NamedTensor> tensors = one_pair();
  tensors.push_back({kQ + ".lora_magnitude_vector.weight", counting({3})});
  expect_error(ErrorKind::unsupported, "lora_magnitude_vector", [&] { read(tensors); });
  tensors = one_pair();
  tensors[0].tensor = Tensor(DType::u8, Shape{2, 4});
  expect_error(ErrorKind::unsupported, "lora_A.weight\": expected f32, f16 or bf16",
               [&] { read(tensors); });
}

TEST_F(PeftAdapterFiles, FoldersThatAreNone) {
  expect_error(ErrorKind::not_found, "no adapter_config.json there",
               [&] { read_peft_adapter(folder_.path()); });
  expect_error(ErrorKind::not_found, "no such file", [&] { read_peft_adapter(folder_ / "a"); });
  test::put_file(folder_ / "adapter_config.json", R"({"peft_type": "LORA"})");
  expect_error(ErrorKind::not_found, "no adapter_model.safetensors there",
               [&] { read_peft_adapter(folder_.path()); });
  test::put_file(folder_ / "adapter_model.bin", "x");
  expect_error(ErrorKind::unsupported, "pickled", [&] { read_peft_adapter(folder_.path()); });
  test::put_file(folder_ / "adapter_config.json", R"({"peft_type": 3})");
  test::put_file(folder_ / "adapter_model.safetensors", "x");
  expect_error(ErrorKind::corrupt, "adapter_config.json: key \"peft_type\"",
               [&] { read_peft_adapter(folder_.path()); });
}

}  // namespace
}  // namespace nibble
