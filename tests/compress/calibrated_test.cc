// Quantizing with calibration, from folder to folder: the same bytes always, and after a kill.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>

#include "nibble/compress/calibration_text.h"
#include "nibble/compress/estimate.h"
#include "nibble/compress/quantize.h"
#include "nibble/compress/recipe.h"
#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "nibble/core/float_formats.h"
#include "nibble/kernels/onednn/product_bf16.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

QuantizeOptions calibrated(const std::string& scheme, const std::string& method = "gptq") {
  QuantizeOptions o;
  o.scheme = parse_scheme(scheme);
  o.method = method;
  o.calibration.samples = 40;
  o.calibration.length = 16;
  o.force = true;
  return o;
}

// A tiny model of three blocks, so that there is something to go on from.
std::string write_deep_model(const std::string& folder) {
  fs::create_directories(folder);
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  DecoderConfig config = tiny_config(tokenizer);
  config.layers = 3;
  write_model(folder, config, random_weights(config, 5), &tokenizer);
  return folder;
}

TEST(Calibrated, FolderHoldsWhatMemoryHolds) {
  const test::TempFolder folder;
  const std::string in = write_tiny_model(folder / "in");
  for (const char* method : {"gptq", "imatrix", "yaqa"}) {
    for (const char* scheme : {"int4:g16", "int3:g16:asym", "int8:a8"}) {
      const QuantizeOptions options = calibrated(scheme, method);
      const QuantizeResult r = quantize_model(in, folder / "out", options, Exec{});
      EXPECT_EQ(r.layers.size(), 7u);  // six matrices of the block and lm_head
      const Model disk = open_model(folder / "out");
      const Model memory = quantize_in_memory(open_model(in), options, Exec{});
      for (const ParamSpec& p : parameter_table(disk.config)) {
        const Tensor a = dequantize(load_weight(disk, p).quantized());
        const Tensor b = dequantize(load_weight(memory, p).quantized());
        EXPECT_TRUE(std::ranges::equal(a.data<float>(), b.data<float>())) << p.name;
      }
      EXPECT_FALSE(fs::exists(folder / "out.resume"));
    }
  }
}

// Wide models are run through calibration in bf16 where the processor has it.
TEST(Calibrated, Bf16ProductsFindNearlyTheSameErrors) {
  const test::TempFolder folder;
  const Model model = open_model(write_deep_model(folder / "in"));
  const auto reports = [&](int64_t width, int threads, const char* scheme = "int4:g16") {
    QuantizeOptions options = calibrated(scheme);
    options.bf16_width = width;
    Exec exec;
    exec.threads = threads;
    return quantize_model(folder / "in", folder / "out", options, exec).layers;
  };
  const auto exact = reports(1 << 30, 1), narrow = reports(1, 1);
  EXPECT_EQ(narrow == exact, !has_bf16_products());
  EXPECT_EQ(narrow, reports(1, 3));
  // 8 bits err too little for it.
  EXPECT_EQ(reports(1, 1, "int8"), reports(1 << 30, 1, "int8"));
  ASSERT_EQ(narrow.size(), exact.size());
  double sum = 0, exact_sum = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    if (exact[i].name == "layers.0.attn.wq.weight") {
      EXPECT_EQ(narrow[i], exact[i]);
    }
    sum += narrow[i].error / narrow[i].rtn_error;
    exact_sum += exact[i].error / exact[i].rtn_error;
  }
  // In so small a model each level that falls the other way changes what is corrected behind it.
  EXPECT_NEAR(sum / exact_sum, 1, 0.2);
}

class CalibratedBy : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Methods, CalibratedBy, testing::Values("gptq", "yaqa"),
                         [](const auto& p) { return std::string(p.param); });

TEST_P(CalibratedBy, TheRecipeGivesTheSameBytesForAnyThreads) {
  const test::TempFolder folder;
  const std::string in = write_deep_model(folder / "in");
  QuantizeOptions options = calibrated("int4:g16", GetParam());
  options.set = {parse_set_rule("layers.1.*=int8:a8"), parse_set_rule("layers.0.mlp.fc1=int3:g8")};
  options.keep = {parse_keep_rule("wte*=f16")};
  options.tuning.sweeps = 2;
  quantize_model(in, folder / "a", options, Exec{});
  QuantizeOptions again = read_recipe(folder / "a/nibble.json");
  again.force = true;
  Exec many;
  many.threads = 4;
  quantize_model(in, folder / "b", again, many);
  for (const char* file : {"model.safetensors", "config.json", "nibble.json", "tokenizer.json"})
    EXPECT_EQ(read_file(folder / std::string("a/") + file),
              read_file(folder / std::string("b/") + file))
        << file;
  const Model out = open_model(folder / "a");
  const SchemeMap schemes = schemes_of(out);
  EXPECT_EQ(to_string(schemes.find("layers.1.attn.wq")->second), "int8:a8");
  EXPECT_EQ(to_string(schemes.find("layers.0.mlp.fc1")->second), "int3:g8");
  EXPECT_EQ(to_string(schemes.find("layers.2.mlp.fc1")->second), "int4:g16");
}

// Stops the run when so many matrices are done.
Exec stopping_after(int64_t matrices, std::atomic<int>& signal) {
  Exec exec;
  exec.stop_signal = &signal;
  exec.progress = [matrices, &signal](const Progress& p) {
    if (p.task == "quantize" && p.done == matrices) signal = 15;
  };
  return exec;
}

TEST_P(CalibratedBy, ResumesAfterAStopAndGivesTheSameBytes) {
  const test::TempFolder folder;
  const std::string in = write_deep_model(folder / "in");
  QuantizeOptions options = calibrated("int4:g16:asym", GetParam());
  quantize_model(in, folder / "whole", options, Exec{});
  options.resume = true;
  for (const int64_t stop : {3, 8, 14, 18}) {
    std::atomic<int> signal = 0;
    options.resume = stop != 3;
    EXPECT_EQ(test::kind_of([&] {
                quantize_model(in, folder / "out", options, stopping_after(stop, signal));
              }),
              "cancelled");
    EXPECT_FALSE(fs::exists(folder / "out"));
  }
  options.resume = true;
  const QuantizeResult r = quantize_model(in, folder / "out", options, Exec{});
  EXPECT_EQ(r.resumed_layers, 2);
  EXPECT_EQ(read_file(folder / "whole/model.safetensors"),
            read_file(folder / "out/model.safetensors"));
  EXPECT_FALSE(fs::exists(folder / "out.resume"));
}

// A model of three blocks, what `spoil` makes of it, and what is beside its output afterwards.
bool leaves_layers(const std::function<void(TensorMap&)>& spoil, QuantizeOptions options) {
  const test::TempFolder folder;
  write_deep_model(folder / "in");
  const Model model = open_model(folder / "in");
  TensorMap weights;
  for (const ParamSpec& t : parameter_table(model.config))
    weights.emplace(t.name, model.weights->get(t.name).plain().clone());
  spoil(weights);
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  write_model(folder / "in", model.config, weights, &tokenizer);
  bool had_layers = false;
  Exec exec;
  exec.progress = [&](const Progress&) { had_layers |= fs::exists(folder / "out.resume"); };
  EXPECT_EQ(test::kind_of([&] { quantize_model(folder / "in", folder / "out", options, exec); }),
            "corrupt");
  EXPECT_FALSE(fs::exists(folder / "out"));
  EXPECT_TRUE(had_layers);
  return fs::exists(folder / "out.resume");
}

TEST_P(CalibratedBy, LeavesNothingOfAModelThatIsRefused) {
  const auto huge_in = [](const std::string& name) {  // no f16 can be its scale
    return [name](TensorMap& w) { w.at(name).mutable_data<float>()[3] = 1e8F; };
  };
  const QuantizeOptions options = calibrated("int4:g16", GetParam());
  EXPECT_FALSE(leaves_layers(huge_in("layers.2.mlp.fc1.weight"), options));
  EXPECT_FALSE(leaves_layers(huge_in("wte.weight"), options));
}

// Layers that options.strict refused to follow are of use without it.
TEST(Calibrated, StrictLeavesLayersToGoOnFrom) {
  QuantizeOptions options = calibrated("int4:g16");
  options.strict = true;
  const auto silence_a_channel = [](TensorMap& w) {
    auto up = w.at("layers.1.mlp.fc1.weight").mutable_data<float>();
    std::fill(up.begin(), up.begin() + 16, 0.0f);
  };
  EXPECT_TRUE(leaves_layers(silence_a_channel, options));
}

// One that was interrupted keeps what it was for; a rejected one does not touch it.
TEST(Calibrated, ARefusedRunLeavesAnothersLayersAlone) {
  const test::TempFolder folder;
  const std::string in = write_deep_model(folder / "in");
  QuantizeOptions options = calibrated("int4:g16");
  std::atomic<int> signal = 0;
  test::kind_of([&] { quantize_model(in, folder / "out", options, stopping_after(9, signal)); });
  ASSERT_TRUE(fs::exists(folder / "out.resume"));
  QuantizeOptions other = calibrated("nf4", "gptq");
  EXPECT_EQ(test::kind_of([&] { quantize_model(in, folder / "out", other, Exec{}); }),
            "unsupported");
  options.resume = true;
  EXPECT_EQ(quantize_model(in, folder / "out", options, Exec{}).resumed_layers, 1);
}

TEST(Calibrated, DamagedOrForeignLayersAreNotUsed) {  // BAD_INPUTS O14
  const test::TempFolder folder;
  const std::string in = write_deep_model(folder / "in");
  QuantizeOptions options = calibrated("int4:g16");
  quantize_model(in, folder / "whole", options, Exec{});
  const auto stop = [&] {
    std::atomic<int> signal = 0;
    options.resume = false;
    test::kind_of([&] { quantize_model(in, folder / "out", options, stopping_after(14, signal)); });
    options.resume = true;
  };
  stop();
  fs::resize_file(folder / "out.resume/layer-00001.safetensors", 100);
  QuantizeResult r = quantize_model(in, folder / "out", options, Exec{});
  EXPECT_EQ(r.resumed_layers, 1);
  ASSERT_FALSE(r.warnings.empty());
  EXPECT_NE(r.warnings[0].find("from layer 1"), std::string::npos) << r.warnings[0];
  EXPECT_EQ(read_file(folder / "whole/model.safetensors"),
            read_file(folder / "out/model.safetensors"));
  stop();
  QuantizeOptions other = options;
  other.tuning.damping = 0.02;
  r = quantize_model(in, folder / "out", other, Exec{});
  EXPECT_EQ(r.resumed_layers, 0);
  EXPECT_NE(r.warnings[0].find("another run"), std::string::npos) << r.warnings[0];
}

TEST_P(CalibratedBy, AMemoryLimitChangesNoByte) {
  const test::TempFolder folder;
  const std::string in = write_deep_model(folder / "in");
  QuantizeOptions options = calibrated("int4:g16", GetParam());
  const Model model = open_model(in);
  std::vector<std::string> warnings;
  const auto plans = plan_quantization(model, options, warnings);
  const QuantizeEstimate e = estimate_quantization(model, plans, options, 1);
  ASSERT_LT(e.spilled_bytes, e.memory_bytes);
  quantize_model(in, folder / "free", options, Exec{});
  options.max_memory = e.memory_bytes - 1;
  quantize_model(in, folder / "tight", options, Exec{});
  EXPECT_EQ(read_file(folder / "free/model.safetensors"),
            read_file(folder / "tight/model.safetensors"));
  options.max_memory = e.spilled_bytes - 1;
  EXPECT_EQ(test::kind_of([&] { quantize_model(in, folder / "none", options, Exec{}); }),
            "out_of_memory");  // O12: said before any work
  EXPECT_FALSE(fs::exists(folder / "none"));
}

// Else it would be found after the text and the gradients, at the first matrix that has it.
TEST_P(CalibratedBy, RefusesASchemeWithoutLevelsBeforeAnyWork) {
  const test::TempFolder folder;
  const std::string in = write_deep_model(folder / "in");
  QuantizeOptions options = calibrated("int4:g16", GetParam());
  options.set = {parse_set_rule("layers.2.*=mxfp4")};
  Exec exec;
  exec.progress = [](const Progress& p) { ADD_FAILURE() << "began to " << p.task; };
  try {
    quantize_model(in, folder / "out", options, exec);
    ADD_FAILURE() << "taken";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::unsupported);
    EXPECT_NE(std::string(e.what()).find(std::string(GetParam()) + " cannot make mxfp4"),
              std::string::npos)
        << e.what();
  }
  options.set = {parse_set_rule("wte*=nf4:g32")};  // a table: rounded to nearest
  options.also = {"embeddings"};
  EXPECT_EQ(test::kind_of([&] { quantize_model(in, folder / "out", options, Exec{}); }), "");
}

TEST(Calibrated, RefusesTooLittleText) {  // C1
  const test::TempFolder folder;
  const std::string in = write_tiny_model(folder / "in");
  QuantizeOptions options = calibrated("int4:g16");
  for (const char* text : {"", "\n", "anna\nbela\n"}) {
    std::ofstream(folder / "text") << text;
    options.calibration.text = folder / "text";
    EXPECT_EQ(test::kind_of([&] { quantize_model(in, folder / "out", options, Exec{}); }),
              "corrupt");
    EXPECT_FALSE(fs::exists(folder / "out"));
  }
  options.calibration.text = folder / "missing";
  EXPECT_EQ(test::kind_of([&] { quantize_model(in, folder / "out", options, Exec{}); }),
            "not_found");
}

TEST(Calibrated, StrictMakesErrorsOfWarnings) {  // C7
  const test::TempFolder folder;
  fs::create_directories(folder / "in");
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  const DecoderConfig config = tiny_config(tokenizer);
  TensorMap weights = random_weights(config, 5);
  for (const ParamSpec& p : parameter_table(config)) {
    if (p.role != Role::up || p.bias) continue;
    auto w = weights.at(p.name).mutable_data<float>();
    std::fill(w.begin(), w.begin() + p.shape[1], 0.0f);  // a channel that is never active
  }
  write_model(folder / "in", config, weights, &tokenizer);
  QuantizeOptions options = calibrated("int4:g16");
  const QuantizeResult r = quantize_model(folder / "in", folder / "out", options, Exec{});
  EXPECT_TRUE(std::any_of(r.warnings.begin(), r.warnings.end(), [](const std::string& w) {
    return w.find("never active") != std::string::npos;
  }));
  options.strict = true;
  fs::remove_all(folder / "out");
  EXPECT_EQ(test::kind_of([&] { quantize_model(folder / "in", folder / "out", options, Exec{}); }),
            "corrupt");
  EXPECT_FALSE(fs::exists(folder / "out"));
}

TEST(Calibrated, ATokenOutsideTheVocabularyIsRefused) {  // C2
  const test::TempFolder folder;
  std::ofstream(folder / "text.txt") << std::string(400, 'a') + std::string(400, 'z');
  const CharTokenizer tokenizer = CharTokenizer::from_text("abcdefghijklmnopqrstuvwxyz\n", true);
  DecoderConfig config = tiny_config(tokenizer);
  config.vocab_size = 20;
  const Model model = in_memory(config, random_weights(config, 5), tokenizer);
  try {
    calibration_text(model, {folder / "text.txt", 8, 16, 42}, Exec{});
    ADD_FAILURE() << "taken";
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::corrupt);
    EXPECT_NE(std::string(e.what()).find("has the id 20, but the model's vocabulary"),
              std::string::npos)
        << e.what();
  }
}

TEST(Calibrated, ARecipeWithAnUnknownKeyIsRefusedByName) {
  const test::TempFolder folder;
  std::ofstream(folder / "recipe.json") << R"({"scheme": "int4:g32", "sweep": 4})";
  try {
    read_recipe(folder / "recipe.json");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::corrupt);
    EXPECT_NE(e.where().find("sweep"), std::string::npos);
  }
  std::ofstream(folder / "recipe.json")
      << R"({"scheme": "int4:g32", "method": "gptq", "sweeps": 7})";
  const QuantizeOptions o = read_recipe(folder / "recipe.json");
  EXPECT_EQ(o.tuning.sweeps, 7);
  EXPECT_EQ(o.method, "gptq");
}

}  // namespace
}  // namespace nibble
