// quantization_config as compressed-tensors, llm-compressor and others write it: every key
// honoured, harmless or refused by name.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nibble/format/quantized_layout.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using nlohmann::json;
using test::expect_error;

const std::vector<MatrixModule> kConfigModules = {{"embed", "Embedding"},
                                                  {"h.0.q_proj", "Linear"},
                                                  {"h.0.down_proj", "Linear"},
                                                  {"lm_head", "Linear"}};

// What llm-compressor 0.14 writes for W4A16.
json whole() {
  return json::parse(R"({"quant_method": "compressed-tensors", "version": "0.19.0",
    "format": "pack-quantized", "quantization_status": "compressed",
    "global_compression_ratio": null, "kv_cache_scheme": null, "ignore": ["lm_head"],
    "sparsity_config": {}, "transform_config": {}, "config_groups": {"group_0": {
      "targets": ["Linear"], "format": "pack-quantized", "input_activations": null,
      "output_activations": null, "weights": {"num_bits": 4, "type": "int", "symmetric": true,
        "strategy": "group", "group_size": 32, "dynamic": false, "actorder": null,
        "block_structure": null, "observer": "memoryless_minmax", "observer_kwargs": {},
        "scale_dtype": null, "zp_dtype": null}}}})");
}

json token(std::string kind) {
  return {{"num_bits", 8},
          {"type", kind},
          {"strategy", "token"},
          {"symmetric", true},
          {"dynamic", true}};
}

SchemeMap read_config(const json& config, const TensorMap& tensors = {}) {
  return read_quantization_config(JsonFields::parse(json({{"quantization_config", config}}).dump()),
                                  kConfigModules, MemorySource(tensors))
      .schemes;
}

// Changes one value and reads; `at` is a JSON pointer below quantization_config.
SchemeMap with(const std::string& at, const json& value) {
  json config = whole();
  config[json::json_pointer(at)] = value;
  return read_config(config);
}

const std::string kGroup = "/config_groups/group_0", kWeights = kGroup + "/weights",
                  kInputs = kGroup + "/input_activations";

std::string key_of(std::string at) {
  std::replace(at.begin(), at.end(), '/', '.');
  return "key \"quantization_config" + at + '"';
}

void expect_refused(const std::string& at, const json& value) {
  expect_error(test::bad_file(), key_of(at), [&] { with(at, value); });
}

std::string scheme_of(const SchemeMap& schemes) {
  EXPECT_EQ(schemes.size(), 2u);
  EXPECT_FALSE(schemes.contains("embed") || schemes.contains("lm_head"));
  return to_string(schemes.at("h.0.q_proj"));
}

TEST(CompressedTensorsConfig, LinearMeansLinearModulesThatAreNotIgnored) {
  EXPECT_EQ(scheme_of(read_config(whole())), "int4:g32");
  EXPECT_EQ(with("/ignore", json::array()).size(), 3u);
  EXPECT_EQ(with("/ignore", nullptr).size(), 3u);
  EXPECT_EQ(with("/ignore", {"re:.*head", "re:h\\.0\\.d"}).size(), 1u);
  EXPECT_TRUE(with("/ignore", {"Linear"}).empty());
  EXPECT_EQ(with(kGroup + "/targets", {"re:.*_proj"}).size(), 2u);
  EXPECT_EQ(with(kGroup + "/targets", {"Embedding", "h.0.q_proj"}).size(), 2u);
}

// What is ignored is so however it is targeted.
TEST(CompressedTensorsConfig, IgnoreWins) {
  json config = whole();
  config["ignore"] = {"h.0.q_proj", "lm_head"};
  config["config_groups"]["group_0"]["targets"] = {"h.0.q_proj", "re:.*q_proj", "Linear"};
  EXPECT_EQ(read_config(config).size(), 1u);
}

TEST(CompressedTensorsConfig, GroupsAreToldByTheirTargets) {
  json config = whole();
  json& groups = config["config_groups"];
  groups["group_1"] = groups["group_0"];
  groups["group_1"]["targets"] = {"re:.*down_proj"};
  groups["group_1"]["weights"]["num_bits"] = 8;
  groups["group_1"]["weights"]["strategy"] = "channel";
  groups["group_1"]["weights"]["group_size"] = nullptr;
  const SchemeMap schemes = read_config(config);
  EXPECT_EQ(to_string(schemes.at("h.0.q_proj")), "int4:g32");
  EXPECT_EQ(to_string(schemes.at("h.0.down_proj")), "int8");
  groups["group_1"]["weights"] = nullptr;  // UNQUANTIZED: plain
  EXPECT_FALSE(read_config(config).contains("h.0.down_proj"));
}

TEST(CompressedTensorsConfig, TargetsThatAreNoMatrixAreRefused) {
  expect_refused(kGroup + "/targets", {"Linear", "h.0.q_proj.bias"});
  expect_refused(kGroup + "/targets", {"LlamaAttention"});
  expect_refused(kGroup + "/targets", "Linear");
  expect_error(ErrorKind::unsupported, key_of(kGroup), [] {
    json config = whole();
    config["config_groups"] = {{"group_0", {"Linear"}}};
    read_config(config);
  });
  expect_error(ErrorKind::corrupt, key_of("/ignore"), [] { with("/ignore", {"re:("}); });
}

// What nibble's own layouts call by name obeys the same rule.
TEST(CompressedTensorsConfig, OwnGroupsAreLookedAtAsWell) {
  const auto own = [](const json& groups, const json& more = json::object()) {
    json config = {
        {"quant_method", "nibble"}, {"config_groups", groups}, {"ignore", json::array()}};
    config.update(more);
    return read_config(config);
  };
  const json group = {{"scheme", "nf4:g64"}, {"targets", {"lm_head"}}};
  EXPECT_EQ(own({{"group_0", group}}).size(), 1u);
  const json bias = {{"scheme", "nf4:g64"}, {"targets", {"lm_head.bias"}}};
  expect_error(ErrorKind::corrupt, key_of(kGroup + "/targets"), [&] { own({{"group_0", bias}}); });
  json other = group;
  other["order"] = "group";
  expect_error(ErrorKind::unsupported, key_of(kGroup + "/order"), [&] {
    own({{"group_0", other}});
  });
  expect_error(ErrorKind::unsupported, key_of("/rotation"), [&] {
    own({{"group_0", group}}, {{"rotation", 1}});
  });
}

TEST(CompressedTensorsConfig, KeysThatChangeTheFunctionAreRefusedByName) {
  const json args = token("int");
  expect_refused("/kv_cache_scheme", args);
  expect_refused("/sparsity_config", {{"format", "sparse-24-bitmask"}, {"targets", {"Linear"}}});
  expect_refused("/sparsity_config", {{"format", "sparse-bitmask"}});
  expect_error(ErrorKind::unsupported, "quantization_config.transform_config", [] {
    with("/transform_config", {{"config_groups", {{"R1", {{"type", "hadamard"}}}}}});
  });
  expect_error(ErrorKind::unsupported, "quantization_config.transform_config", [] {
    with("/transform_config", {{"other", 1}});
  });
  for (const char* status : {"frozen", "initialized", "calibration", "decompressed"})
    expect_refused("/quantization_status", status);
  expect_refused(kGroup + "/output_activations", args);
  expect_refused(kWeights + "/dynamic", true);
  expect_refused(kWeights + "/dynamic", "local");
  expect_refused(kWeights + "/block_structure", {128, 128});
  expect_refused(kWeights + "/scale_dtype", "torch.uint8");
}

TEST(CompressedTensorsConfig, KeysThatNobodyKnowsAreRefusedByName) {
  for (const std::string& at : {std::string(), kGroup, kWeights, kInputs}) {
    json config = whole();
    config[json::json_pointer(kInputs)] = token("int");
    EXPECT_EQ(scheme_of(read_config(config)), "int4:g32:a8full");
    for (const json& nothing : {json(), json::object(), json::array()}) {
      config[json::json_pointer(at + "/novelty")] = nothing;
      EXPECT_NO_THROW(read_config(config));
    }
    for (const json& value : {json(1), json("x"), json(false), json({{"a", nullptr}})}) {
      config[json::json_pointer(at + "/novelty")] = value;
      expect_error(ErrorKind::unsupported, key_of(at + "/novelty"), [&] { read_config(config); });
    }
  }
}

TEST(CompressedTensorsConfig, WhatSaysNothingPasses) {
  EXPECT_NO_THROW(with("/sparsity_config", {{"format", "dense"}, {"global_sparsity", 0.14}}));
  EXPECT_NO_THROW(with("/transform_config", {{"config_groups", json::object()}}));
  EXPECT_NO_THROW(with("/run_compressed", true));
  EXPECT_NO_THROW(with(kWeights + "/observer_kwargs", {{"averaging_constant", 0.01}}));
  EXPECT_NO_THROW(with(kWeights + "/zp_dtype", "torch.int8"));
  EXPECT_NO_THROW(with(kWeights + "/scale_dtype", "torch.bfloat16"));
  for (const json& order : {json("weight"), json("static"), json(false)})
    EXPECT_EQ(scheme_of(with(kWeights + "/actorder", order)), "int4:g32");
}

// Groups of columns in any order: asked for and there, or neither.
TEST(CompressedTensorsConfig, AnOrderOfTheColumnsIsAskedForAndThere) {
  const Tensor order(DType::i32, Shape{64});
  const TensorMap both = {{"h.0.q_proj.weight_g_idx", order},
                          {"h.0.down_proj.weight_g_idx", order}};
  const auto ordered = [](const json& actorder, const TensorMap& tensors) {
    json config = whole();
    config[json::json_pointer(kWeights + "/actorder")] = actorder;
    return scheme_of(read_config(config, tensors));
  };
  for (const json& asks : {json("group"), json("dynamic"), json(true)}) {
    EXPECT_EQ(ordered(asks, both), "int4:g32");
    expect_error(ErrorKind::corrupt,
                 "tensor \"h.0.q_proj.weight_g_idx\": " + key_of(kWeights + "/actorder"),
                 [&] { ordered(asks, {}); });
  }
  for (const json& not_asked : {json("weight"), json(nullptr), json(false)}) {
    expect_error(ErrorKind::corrupt, "tensor \"h.0.q_proj.weight_g_idx\"",
                 [&] { ordered(not_asked, both); });
  }
  expect_refused(kWeights + "/actorder", "sideways");
  expect_refused(kWeights + "/actorder", 7);
  // Of a matrix that is not quantized it says nothing.
  EXPECT_NO_THROW(read_config(whole(), {{"lm_head.weight_g_idx", order}}));
}

TEST(CompressedTensorsConfig, FormatsThatAreNotReadAreRefusedByName) {
  for (const char* format : {"marlin-24", "dense", "sparse-24-bitmask", "mxfp8-quantized",
                             "nvfp4-pack-quantized", "float-quantized", "novelty"})
    expect_refused(kGroup + "/format", format);
  json config = whole();
  config[json::json_pointer(kGroup + "/format")] = nullptr;
  for (const char* format :
       {"pack-quantized", "int-quantized", "naive-quantized", "mixed-precision"}) {
    config["format"] = format;
    EXPECT_NO_THROW(read_config(config)) << format;
  }
  config["format"] = "marlin-24";
  expect_error(ErrorKind::unsupported, key_of("/format"), [&] { read_config(config); });
}

// Where no strategy is said, the group size says it (quant_args.py).
TEST(CompressedTensorsConfig, StrategiesFollowFromTheGroupSize) {
  json config = whole();
  json& w = config[json::json_pointer(kWeights)];
  w.erase("strategy");
  EXPECT_EQ(scheme_of(read_config(config)), "int4:g32");
  w["group_size"] = -1;
  EXPECT_EQ(scheme_of(read_config(config)), "int4");
  w["group_size"] = nullptr;
  EXPECT_EQ(scheme_of(read_config(config)), "int4:tensor");
  w.erase("num_bits");
  EXPECT_EQ(scheme_of(read_config(config)), "int8:tensor");
  w["strategy"] = "channel";
  w["group_size"] = 128;
  expect_error(ErrorKind::corrupt, key_of(kWeights + "/group_size"), [&] { read_config(config); });
  w["strategy"] = "group";
  w["group_size"] = nullptr;
  expect_error(ErrorKind::corrupt, key_of(kWeights + "/group_size"), [&] { read_config(config); });
}

TEST(CompressedTensorsConfig, InputsThatAreRoundedOtherwiseAreRefused) {
  EXPECT_EQ(scheme_of(with(kInputs, token("int"))), "int4:g32:a8full");
  const auto refused = [](const std::string& key, const json& value) {
    json args = token("int");
    args[key] = value;
    expect_refused(kInputs, args);
  };
  refused("symmetric", false);
  refused("dynamic", false);
  refused("num_bits", 4);
  refused("strategy", "tensor");
  refused("actorder", "group");
  const auto codes = [](int low, int high) {
    json args = token("int");
    args["observer_kwargs"] = {{"quant_min", low}, {"quant_max", high}};
    return with(kInputs, args);
  };
  EXPECT_EQ(scheme_of(codes(-127, 127)), "int4:g32:a8");
  EXPECT_EQ(scheme_of(codes(-128, 127)), "int4:g32:a8full");
  expect_error(ErrorKind::unsupported, key_of(kInputs + "/observer_kwargs/quant_min"),
               [&] { codes(-8, 127); });
  expect_error(ErrorKind::unsupported, key_of(kInputs + "/observer_kwargs/quant_max"),
               [&] { codes(-8, 7); });
  json fixed = token("int");
  fixed["strategy"] = "tensor";
  fixed["dynamic"] = false;
  EXPECT_EQ(scheme_of(with(kInputs, fixed)), "int4:g32:a8static");
  json grouped = token("float");
  grouped["strategy"] = "group";
  grouped["group_size"] = 128;
  expect_refused(kInputs, grouped);
  json config = whole();
  config[json::json_pointer(kInputs)] = token("int");
  config[json::json_pointer(kWeights)] = nullptr;
  expect_error(ErrorKind::unsupported, key_of(kInputs), [&] { read_config(config); });
}

// The name that the config had in 2024.
TEST(CompressedTensorsConfig, TheOldNameOfTheSectionIsRefused) {
  expect_error(ErrorKind::unsupported, "key \"compression_config\"", [] {
    read_quantization_config(JsonFields::parse(json({{"compression_config", whole()}}).dump()),
                             kConfigModules, MemorySource({}))
        .schemes;
  });
}

TEST(BitsandbytesConfig, KeysThatNobodyKnowsAreRefusedByName) {
  const json known = {{"quant_method", "bitsandbytes"},
                      {"load_in_4bit", true},
                      {"llm_int8_skip_modules", {"lm_head"}},
                      {"bnb_4bit_quant_storage", "uint8"}};
  EXPECT_TRUE(read_config(known).empty());
  json other = known;
  other["bnb_3bit_twist"] = true;
  expect_error(ErrorKind::unsupported, key_of("/bnb_3bit_twist"), [&] { read_config(other); });
  other = known;
  other["load_in_8bit"] = true;
  expect_error(ErrorKind::corrupt, key_of("/load_in_8bit"), [&] { read_config(other); });
}

}  // namespace
}  // namespace nibble
