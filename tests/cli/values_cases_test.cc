// Cases of ../shared/cases about values: numbers that are not finite or do not fit, settings of
// config.json that change the function.
#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"
#include "tests/support/shared.h"

namespace nibble::test {
namespace {

using nlohmann::json;

const std::string kValueCases = "../shared/cases/";

class ValueCase : public ::testing::Test {
 protected:
  void SetUp() override {
    if (lacks_shared(kValueCases)) GTEST_SKIP() << kValueCases;
  }
  static std::string model(const std::string& name) { return kValueCases + name + "/model"; }
  static CommandResult eval(const std::string& name, std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"eval", model(name), "--text",
                                      kValueCases + name + "/text.txt", "--json"};
    words.insert(words.end(), more.begin(), more.end());
    return run_nibble(words, {.limit_s = 60});
  }
  // The loss that a successful eval tells.
  static double nll(const CommandResult& r) {
    expect_success(r);
    return json::parse(r.out).at("mean_nll").get<double>();
  }
  TempFolder folder_;
};

TEST_F(ValueCase, RopeScalingBesideRopeParameters) {
  EXPECT_NEAR(nll(eval("rope-scaling-beside-rope-parameters")), 1.984278, 1e-6);
}

TEST_F(ValueCase, PartialRotaryAtTheTop) {
  const CommandResult r = eval("partial-rotary-top-level");
  EXPECT_EQ(r.exit_code, 65);
  EXPECT_NE(r.err.find("partial_rotary_factor"), std::string::npos) << r.err;
}

TEST_F(ValueCase, SettingsOfTheWrongTypeAreNotAbsent) {
  const std::pair<const char*, const char*> cases[] = {
      {"rope_scaling_string", "rope_scaling"},
      {"rope_scaling_list", "rope_scaling"},
      {"rope_type_list", "rope_scaling.rope_type"},
      {"partial_rotary_factor", "partial_rotary_factor"}};
  for (const auto& [name, key] : cases) {
    const std::string path = kValueCases + "hostile/config_of_wrong_type_ignored/" + name;
    expect_rejected(run_nibble({"inspect", path}), 65, "key \"" + std::string(key) + '"');
  }
}

constexpr const char* kNan = "tensor \"model.layers.2.mlp.down_proj.weight\": row ";

TEST_F(ValueCase, NanIsNoResultOfEvalAndCompare) {
  const std::string base = kValueCases + "weight-nan/base", bad = model("weight-nan"),
                    text = kValueCases + "weight-nan/text.txt";
  for (const auto& [first, second] : {std::pair(bad, base), std::pair(base, bad)})
    expect_rejected(
        run_nibble({"eval", first, "--text", text, "--against", second}, {.limit_s = 60}), 65,
        kNan);
  expect_rejected(run_nibble({"eval", bad, "--text", text}, {.limit_s = 60}), 65, kNan);
  expect_rejected(run_nibble({"compare", base, bad, "--text", text, "--continuations", "0",
                              "--runs", "1", "--quiet"},
                             {.limit_s = 60}),
                  65, kNan);
}

TEST_F(ValueCase, NanIsNoResultOfOtherVerbs) {
  const std::string bad = model("weight-nan");
  for (const char* temperature : {"0", "1"})
    expect_rejected(run_nibble({"generate", bad, "--prompt", "Once", "--temperature", temperature,
                                "--max-new-tokens", "4"}),
                    65, kNan);
  expect_rejected(
      run_nibble({"bench", bad, "--prefill", "8", "--decode", "4", "--runs", "1", "--quiet"},
                 {.limit_s = 60}),
      65, kNan);
  expect_rejected(
      run_nibble({"auto", bad, "-o", folder_ / "out", "--bits", "6", "--quiet"}, {.limit_s = 60}),
      65, kNan);
  EXPECT_EQ(folder_.size(), 0u);
}

TEST_F(ValueCase, InspectCountsWhatIsNotFinite) {
  const std::string bad = model("weight-nan"), tensor = "model.layers.2.mlp.down_proj.weight";
  const CommandResult one = run_nibble({"inspect", bad, tensor});
  expect_success(one);
  EXPECT_NE(one.out.find("NOT FINITE: 1"), std::string::npos) << one.out;
  const json told = json::parse(run_nibble({"inspect", bad, tensor, "--json"}).out);
  EXPECT_EQ(told.at("tensors").at(0).at("not_finite"), 1);
  EXPECT_NE(run_nibble({"inspect", bad}).out.find("NOT FINITE: 1 value of " + tensor),
            std::string::npos);
  EXPECT_EQ(run_nibble({"inspect", kValueCases + "weight-nan/base"}).out.find("NOT FINITE"),
            std::string::npos);
}

TEST_F(ValueCase, WeightsTooSmallForTheirScales) {
  const std::string m = model("f16-scale-underflow"), out = folder_ / "out",
                    text = kValueCases + "f16-scale-underflow/text.txt";
  const auto quantize = [&](std::vector<std::string> more) {
    std::vector<std::string> words = {"quantize", m, "-o", out, "--force"};
    words.insert(words.end(), more.begin(), more.end());
    const CommandResult r = run_nibble(words, {.limit_s = 60});
    expect_success(r);
    return r.err;
  };
  const std::string tensor = "nibble: warning: tensor \"model.layers.2.self_attn.v_proj.weight\": ";
  const std::string only = "*layers.2.self_attn.v_proj*=";
  const std::pair<std::vector<std::string>, const char*> runs[] = {
      {{"--scheme", "int8"}, "--scale-dtype bf16 or f32 keeps them"},
      {{"--scheme", "f32", "--set", only + "int4:g4"}, "--scale-dtype bf16 or f32 keeps them"},
      {{"--scheme", "f32", "--set", only + "f16"}, "bf16 or f32 keeps them"},
      {{"--scheme", "nvfp4"}, "--set 'NAME=SCHEME'"}};
  for (const auto& [options, words] : runs) {
    const std::string said = quantize(options);
    EXPECT_NE(said.find(tensor), std::string::npos) << options.back() << ": " << said;
    EXPECT_NE(said.find(words), std::string::npos) << options.back() << ": " << said;
  }
  EXPECT_EQ(quantize({"--scheme", "int8", "--scale-dtype", "bf16"}), "");
  EXPECT_NEAR(nll(run_nibble({"eval", out, "--text", text, "--json"}, {.limit_s = 60})),
              1.7591039074155597, 1e-6);
  // The same where a model is quantized while it is loaded.
  const CommandResult loaded =
      run_nibble({"eval", m, "--text", text, "--scheme", "int8"}, {.limit_s = 60});
  EXPECT_NE(loaded.err.find("v_proj.weight\": "), std::string::npos) << loaded.err;
  const CommandResult compared = run_nibble(
      {"compare", m, "--text", text, "--schemes", "int8", "--continuations", "0", "--runs", "1"},
      {.limit_s = 60});
  expect_success(compared);
  EXPECT_NE(compared.err.find("nibble: warning: int8: " + tensor.substr(tensor.find("tensor"))),
            std::string::npos)
      << compared.err;
}

TEST_F(ValueCase, WeightsTooLargeForF16AreAnError) {
  const CommandResult r = run_nibble({"quantize", model("kv-f16-saturates"), "-o", folder_ / "out",
                                      "--scheme", "int8", "--keep", "*v_proj.bias=f16", "--quiet"},
                                     {.limit_s = 60});
  expect_rejected(r, 65, "v_proj.bias\": holds weights beyond the range of f16: store it as bf16");
  EXPECT_EQ(folder_.size(), 0u);
}

TEST_F(ValueCase, ValuesThatTheCacheCannotHold) {
  const std::string m = model("kv-f16-saturates");
  EXPECT_NEAR(nll(eval("kv-f16-saturates")), 1.7586119066551469, 1e-6);
  const CommandResult half = eval("kv-f16-saturates", {"--kv", "f16"});
  EXPECT_EQ(half.exit_code, 65);
  EXPECT_NE(half.err.find(m + ": keys or values of this model are as large as"), std::string::npos)
      << half.err;
  expect_rejected(run_nibble({"generate", m, "--prompt", "Once", "--temperature", "0", "--kv",
                              "f16", "--max-new-tokens", "4"}),
                  65, "--kv");
  EXPECT_NEAR(nll(eval("kv-f16-saturates", {"--kv", "int8"})), 1.8095424690195854, 1e-3);
}

TEST_F(ValueCase, TiedHead) {
  const std::string m = model("tied-lm-head"), out = folder_ / "out";
  const CommandResult one = run_nibble(
      {"quantize", m, "-o", out, "--scheme", "int8", "--quantize", "lm_head"}, {.limit_s = 60});
  expect_success(one);
  EXPECT_NE(one.err.find("the head is the embedding in this model"), std::string::npos) << one.err;
  const auto scheme_of = [&](const std::string& name) {
    const CommandResult r = run_nibble({"inspect", out, "--json"}, {.limit_s = 60});
    const json told = json::parse(r.out);
    for (const json& t : told.at("tensors"))
      if (t.at("name") == name) return t.at("scheme").get<std::string>();
    return std::string("absent");
  };
  EXPECT_EQ(scheme_of("lm_head.weight"), "int8");
  EXPECT_EQ(scheme_of("model.embed_tokens.weight"), "f32");
  // The guide's line.
  expect_success(run_nibble({"quantize", m, "-o", out, "--force", "--scheme", "int4:g4",
                             "--quantize", "lm_head", "--set", "lm_head*=int8"},
                            {.limit_s = 60}));
  EXPECT_EQ(scheme_of("lm_head.weight"), "int8");
  expect_success(run_nibble({"quantize", m, "-o", out, "--force", "--quantize", "embeddings"},
                            {.limit_s = 60}));
  EXPECT_EQ(scheme_of("model.embed_tokens.weight"), "int8");
  EXPECT_EQ(scheme_of("lm_head.weight"), "absent");
  expect_rejected(run_nibble({"quantize", m, "--dry-run", "--quantize", "heads"}), 64, "heads");
}

TEST_F(ValueCase, AnAdapterAlone) {
  expect_rejected(run_nibble({"generate", model("unclear-adapter-only"), "--prompt", "a"}), 65,
                  "adapter_model.safetensors is a LoRA adapter, not a model: merge it");
}

// It was refused, and late; now it is a source, and that is said.
TEST_F(ValueCase, AutoTakesAQuantizedModelWithAWord) {
  const CommandResult r =
      run_nibble({"auto", kValueCases + "hostile/auto_refuses_late/m", "-o", folder_ / "out",
                  "--bits", "5", "--method", "rtn", "--samples", "8", "--length", "16"},
                 {.limit_s = 120});
  expect_success(r);
  EXPECT_NE(r.err.find("this model is quantized already"), std::string::npos) << r.err;
}

TEST_F(ValueCase, WeightsThatOverflowNameTheirFileAndTensor) {
  const std::string huge = kValueCases + "hostile/no_file_named/huge",
                    words = huge + ": tensor \"model.layers.2.mlp.down_proj.weight\"",
                    text = "../shared/data/text/tinystories-sample.txt";
  expect_rejected(run_nibble({"eval", huge, "--text", text, "--scheme", "int8"}, {.limit_s = 60}),
                  65, words);
  expect_rejected(
      run_nibble({"inspect", huge, "--activations", text, "--samples", "2"}, {.limit_s = 60}), 65,
      words);
}

TEST_F(ValueCase, AMatrixWithOneInputIsCalibrated) {
  const std::string text = "../shared/data/text/shakespeare-val.txt";
  for (const char* method : {"imatrix", "gptq", "yaqa", "awq", "smoothquant"}) {
    SCOPED_TRACE(method);
    expect_success(run_nibble(
        {"quantize", kValueCases + "hostile/calibrate_one_input/m", "-o", folder_ / "out",
         "--force", "--method", method, "--calib", text, "--samples", "4", "--length", "64"},
        {.limit_s = 60}));
  }
}

TEST_F(ValueCase, EstimatesNeitherWrapNorSpeakOfKeys) {
  expect_rejected(run_nibble({"estimate", "--layers", "10000", "--width", "1048576", "--context",
                              "2147483648", "--kv", "f32", "--bandwidth", "10"}),
                  64, "--context");
  expect_rejected(run_nibble({"estimate", "--layers", "20000", "--width", "64"}), 64, "--layers");
}

TEST_F(ValueCase, AConfigThatCouldNotBeReadAgainIsRefusedAtOnce) {
  for (const char* name : {"bytes", "values"}) {
    SCOPED_TRACE(name);
    const std::string m = kValueCases + "hostile/output_cannot_be_opened/" + name;
    const CommandResult r = run_nibble({"quantize", m, "-o", folder_ / "out", "--quiet"});
    expect_rejected(r, 65, m + "/config.json: with quantization_config it could not be read again");
    EXPECT_EQ(folder_.size(), 0u);
  }
}

TEST_F(ValueCase, LinksOutOfTheFolderAreLeftOut) {
  const std::string m = folder_ / "model", out = folder_ / "out";
  std::filesystem::copy(model("tied-lm-head"), m);
  put_file(folder_ / "secret", "TOP SECRET");
  std::filesystem::create_symlink("../secret", m + "/LICENSE");
  std::filesystem::create_symlink(folder_ / "secret", m + "/generation_config.json.new");
  const CommandResult r = run_nibble({"quantize", m, "-o", out}, {.limit_s = 60});
  expect_success(r);
  EXPECT_NE(r.err.find(m + "/LICENSE is a link that leaves the model's folder: not copied"),
            std::string::npos)
      << r.err;
  for (const auto& [name, text] : contents(out))
    EXPECT_EQ(text.find("TOP SECRET"), std::string::npos) << name;
}

// What people have opens without a word on stderr.
TEST_F(ValueCase, PublishedModelsOpenInSilence) {
  std::vector<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator("../shared/data/models"))
    all.push_back(entry.path().string());
  EXPECT_GE(all.size(), 5u);
  for (const char* family : {"gemma2", "mixtral", "lfm2"})
    all.push_back("../shared/data/archs/" + std::string(family));
  for (const std::string& path : all) {
    const CommandResult r = run_nibble({"inspect", path}, {.limit_s = 60});
    expect_success(r);
    EXPECT_EQ(r.err, "") << path;
  }
}

// A key that nobody knows is named where people and programs look.
TEST_F(ValueCase, UnknownKeysAreWarnedOf) {
  const std::string copy = folder_ / "model";
  std::filesystem::copy(model("tied-lm-head"), copy, std::filesystem::copy_options::recursive);
  std::filesystem::permissions(copy + "/config.json", std::filesystem::perms::owner_all);
  json config = json::parse(get_file(copy + "/config.json"));
  config["head_twist"] = 0.5;
  put_file(copy + "/config.json", config.dump());
  const CommandResult r = run_nibble({"inspect", copy, "--json"}, {.limit_s = 60});
  expect_success(r);
  EXPECT_NE(json::parse(r.out).at("warnings").dump().find("head_twist"), std::string::npos);
  EXPECT_NE(run_nibble({"inspect", copy}).err.find("\"head_twist\" is not a key"),
            std::string::npos);
}

}  // namespace
}  // namespace nibble::test
