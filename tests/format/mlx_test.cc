// The layout of MLX: the numbers are its own, modules may have settings of their own, and what does
// not fit is refused by name.
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "tests/format/layout_goldens.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using nlohmann::json;
using test::expect_error;
using test::fields_of;
using test::read_layout;

TEST(Mlx, HasItsOwnNumbersInEveryMode) {
  const json goldens = test::layout_goldens("mlx.json");
  ASSERT_EQ(goldens.size(), 21u);
  for (const json& g : goldens) {
    const json& config = g.at("config");
    SCOPED_TRACE(config.dump());
    // Under its own key, under that of others, and under both, as mlx-lm writes it.
    const JsonFields both =
        JsonFields::parse(json({{"quantization", config}, {"quantization_config", config}}).dump());
    for (const JsonFields& f : {fields_of(config, "quantization"), fields_of(config), both})
      test::expect_golden_values(read_layout(f, test::tensors_in(g)), g);
  }
}

TEST(Mlx, EveryModeHasItsScheme) {
  std::set<std::string> schemes;
  for (const json& g : test::layout_goldens("mlx.json"))
    schemes.insert(to_string(read_layout(fields_of(g.at("config")), test::tensors_in(g)).scheme));
  for (const char* one : {"affine2:g32", "affine3:g64", "affine4:g128", "affine5:g32",
                          "affine6:g64", "affine8:g128", "mxfp4", "nvfp4", "fp8_e4m3:g32"})
    EXPECT_TRUE(schemes.contains(one)) << one;
}

constexpr int64_t kMlxN = 2, kMlxK = 128;

// Codes i % 2^bits, scales 1, 2, ..., biases below.
TensorMap mlx_weight(int bits, int64_t group) {
  const int64_t groups = kMlxK / group, bytes = kMlxK * bits / 8;
  Tensor words(DType::u32, Shape{kMlxN, bytes / 4});
  std::vector<uint8_t> codes(kMlxK), row(static_cast<size_t>(bytes));
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i % (1u << bits));
  pack_codes(codes, bits, row);
  for (int64_t r = 0; r < kMlxN; ++r)
    std::memcpy(words.mutable_raw() + r * bytes, row.data(), row.size());
  Tensor scales(DType::f32, Shape{kMlxN, groups}), biases(DType::f32, Shape{kMlxN, groups});
  for (int64_t i = 0; i < kMlxN * groups; ++i) {
    scales.mutable_data<float>()[static_cast<size_t>(i)] = static_cast<float>(i + 1);
    biases.mutable_data<float>()[static_cast<size_t>(i)] = -0.5f * static_cast<float>(i);
  }
  return {{"x.weight", words}, {"x.scales", scales}, {"x.biases", biases}};
}

json mlx_config() { return {{"group_size", 64}, {"bits", 4}}; }

JsonFields mlx_fields(const json& config) { return fields_of(config, "quantization"); }

TEST(Mlx, EveryGroupHasItsScaleAndItsBias) {
  const QuantizedTensor q = read_layout(mlx_fields(mlx_config()), mlx_weight(4, 64));
  const Tensor w = dequantize(q);
  for (int64_t r = 0; r < kMlxN; ++r) {
    for (int64_t i = 0; i < kMlxK; ++i) {
      const auto g = static_cast<float>(r * 2 + i / 64);
      EXPECT_EQ(w.data<float>()[static_cast<size_t>(r * kMlxK + i)],
                static_cast<float>(i % 16) * (g + 1) - 0.5f * g);
    }
  }
}

// What is not said is as usual: for all, and for a module with settings of its own, whatever is
// said for all.
TEST(Mlx, WhatIsNotSaidIsAsUsualForTheMode) {
  const auto scheme = [](const json& config, const TensorMap& tensors) {
    return to_string(read_layout(mlx_fields(config), tensors).scheme);
  };
  EXPECT_EQ(scheme({{"mode", "affine"}}, mlx_weight(4, 64)), "affine4:g64");
  EXPECT_EQ(scheme({{"bits", 8}}, mlx_weight(8, 64)), "affine8:g64");
  json config = {{"group_size", 32}, {"bits", 3}, {"x", {{"bits", 8}}}};
  EXPECT_EQ(scheme(config, mlx_weight(8, 64)), "affine8:g64");
  config["x"] = {{"bits", 6}, {"group_size", 128}, {"mode", "affine"}, {"quantize_input", false}};
  EXPECT_EQ(scheme(config, mlx_weight(6, 128)), "affine6:g128");
  config["x"] = true;
  EXPECT_EQ(scheme(config, mlx_weight(3, 32)), "affine3:g32");
  config["y"] = {{"bits", 5}};
  config["vision.patches"] = false;
  EXPECT_EQ(scheme(config, mlx_weight(3, 32)), "affine3:g32");
  config["x"] = {{"mode", "nvfp4"}};
  expect_error(ErrorKind::corrupt, "\"x.weight\": holds 12 words a row for 4 groups",
               [&] { scheme(config, mlx_weight(3, 32)); });
}

// Modules without scales are plain, and those that the config says are.
TEST(Mlx, TheTensorsTellWhichModulesArePacked) {
  const std::vector<MatrixModule> modules = {
      {"x", "Linear"}, {"model.layers.0.mlp.down_proj", "Linear"}, {"lm_head", "Linear"}};
  TensorMap tensors = mlx_weight(4, 64);
  tensors.emplace("lm_head.weight", Tensor(DType::bf16, Shape{2, kMlxK}));
  for (const auto& [name, t] : mlx_weight(8, 32))
    tensors.emplace("model.layers.0.mlp.down_proj" + name.substr(1), t);
  json config = mlx_config();
  config["model.layers.0.mlp.down_proj"] = {{"group_size", 32}, {"bits", 8}};
  config["lm_head"] = false;
  const StoredModules read =
      read_quantization_config(mlx_fields(config), modules, MemorySource(tensors));
  ASSERT_EQ(read.schemes.size(), 2u);
  EXPECT_EQ(to_string(read.schemes.at("x")), "affine4:g64");
  EXPECT_EQ(to_string(read.schemes.at("model.layers.0.mlp.down_proj")), "affine8:g32");
}

TEST(Mlx, RefusesKeysByName) {
  const auto refused = [&](const json& more, const std::string& key,
                           ErrorKind kind = ErrorKind::unsupported) {
    json config = mlx_config();
    config.update(more);
    expect_error(kind, "key \"quantization" + key,
                 [&] { (void)read_layout(mlx_fields(config), mlx_weight(4, 64)); });
  };
  refused({{"bits", 7}}, ".bits\": is 7");
  refused({{"bits", 1}}, ".bits\": is 1");
  refused({{"bits", "4"}}, ".bits", ErrorKind::corrupt);
  refused({{"group_size", 16}}, ".group_size\": is 16");
  refused({{"group_size", int64_t{1} << 40}}, ".group_size");
  refused({{"mode", "mxfp6"}}, ".mode\": is \"mxfp6\"");
  refused({{"mode", "mxfp4"}}, ".group_size\": is 64");
  refused({{"mode", "mxfp8"}, {"group_size", 32}}, ".bits\": is 4");
  refused({{"novelty", 1}}, ".novelty\": nibble does not know this key");
  refused({{"novelty", true}}, ".novelty");
  refused({{"quantize_input", true}}, ".quantize_input\": changes what a layer reads");
  refused({{"x", {{"bits", 7}}}}, ".x.bits\": is 7");
  refused({{"x", {{"mode", "int4"}}}}, ".x.mode");
  refused({{"x", {{"twist", 2}}}}, ".x.twist\": nibble does not know this key");
  refused({{"x", {{"global_scale", true}}}}, ".x.global_scale");
  refused({{"x", false}}, ".x\": says that this module is plain", ErrorKind::corrupt);
}

TEST(Mlx, AnotherProgramsMethodBesideItIsRefused) {
  const JsonFields f = JsonFields::parse(
      json({{"quantization", mlx_config()}, {"quantization_config", {{"quant_method", "gptq"}}}})
          .dump());
  expect_error(ErrorKind::unsupported, "key \"quantization\": says how MLX has quantized",
               [&] { (void)read_layout(f, mlx_weight(4, 64)); });
  expect_error(ErrorKind::corrupt, "key \"quantization\"", [&] {
    (void)read_layout(JsonFields::parse(R"({"quantization": "4bit"})"), mlx_weight(4, 64));
  });
}

TEST(Mlx, RefusesTensorsByName) {
  const auto refused = [&](const std::string& name, const Tensor* tensor, std::string_view words) {
    TensorMap tensors = mlx_weight(4, 64);
    if (tensor != nullptr) tensors[name] = *tensor;
    if (tensor == nullptr) tensors.erase(name);
    expect_error(ErrorKind::corrupt, words,
                 [&] { (void)read_layout(mlx_fields(mlx_config()), tensors); });
  };
  for (const char* name : {"x.weight", "x.scales", "x.biases"})
    refused(name, nullptr, "tensor \"" + std::string(name) + "\": quantization_config has \"x\"");
  const Tensor signed_words(DType::i32, Shape{2, 16}), flat(DType::u32, Shape{32}),
      fewer(DType::u32, Shape{2, 15}), none(DType::u32, Shape{2, 0}),
      turned(DType::f32, Shape{2, 2, 1}), halves(DType::f16, Shape{2, 2}),
      whole(DType::i32, Shape{2, 2}), more(DType::f32, Shape{3, 2});
  refused("x.weight", &signed_words, "tensor \"x.weight\": expected u32 [n, k], found i32 [2, 16]");
  refused("x.weight", &flat, "tensor \"x.weight\": expected u32 [n, k]");
  refused("x.weight", &fewer,
          "\"x.weight\": holds 15 words a row for 2 groups, which are not of 64");
  refused("x.weight", &none, "tensor \"x.weight\"");
  for (const Tensor& t : {turned, whole, more})
    refused("x.scales", &t, "tensor \"x.scales\": expected");
  for (const Tensor& t : {halves, whole, more})
    refused("x.biases", &t, "tensor \"x.biases\": expected f32 [2, 2], found");
  for (const char* name : {"x.scales", "x.biases"}) {
    Tensor infinite = mlx_weight(4, 64).at(name).clone();
    infinite.mutable_data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
    refused(name, &infinite, "of row 1 group 1 is not finite");
  }
}

TEST(Mlx, ExponentsThatStandForNothingAreRefused) {
  for (const json& g : test::layout_goldens("mlx.json")) {
    const std::string mode = g.at("config").at("mode");
    if (mode == "affine") continue;
    TensorMap tensors = test::tensors_in(g);
    tensors["x.scales"] = tensors.at("x.scales").clone();
    tensors["x.scales"].mutable_raw()[1] = std::byte{0xFF};
    expect_error(ErrorKind::corrupt, "scale of row 0 group 1 is not finite",
                 [&] { (void)read_layout(fields_of(g.at("config")), tensors); });
    TensorMap floats = test::tensors_in(g);
    floats["x.scales"] = Tensor(DType::f16, floats.at("x.scales").shape());
    expect_error(ErrorKind::corrupt, "tensor \"x.scales\": expected u8",
                 [&] { (void)read_layout(fields_of(g.at("config")), floats); });
  }
}

}  // namespace
}  // namespace nibble
