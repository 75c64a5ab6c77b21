// The pipeline from folder to folder.
#include "nibble/compress/quantize.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "nibble/core/error.h"
#include "nibble/core/files.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"
#include "tests/support/tiny_model.h"

namespace nibble {
namespace {

namespace fs = std::filesystem;

QuantizeOptions with(const std::string& scheme) {
  QuantizeOptions o;
  o.scheme = parse_scheme(scheme);
  return o;
}

std::string bytes_of(const std::string& path) { return read_file(path); }

size_t entries(const std::string& folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator{}));
}

TEST(Quantize, FolderHoldsWhatMemoryHolds) {
  const test::TempFolder folder;
  const std::string in = write_tiny_model((folder / "in"));
  for (const std::string scheme : {"int8", "int8:a8", "int4:g16:asym", "int3:g16", "int2:tensor"}) {
    QuantizeOptions options = with(scheme);
    options.force = true;
    const QuantizeResult r = quantize_model(in, (folder / "out"), options, Exec{});
    const Model disk = open_model((folder / "out"));
    const Model memory = quantize_in_memory(open_model(in), options, Exec{});
    EXPECT_EQ(schemes_of(disk), schemes_of(memory)) << scheme;
    EXPECT_EQ(disk.weights->file_bytes(), memory.weights->file_bytes()) << scheme;
    EXPECT_EQ(r.quantized, 9);
    for (const ParamSpec& p : parameter_table(disk.config)) {
      const Tensor a = dequantize(load_weight(disk, p).quantized());
      const Tensor b = dequantize(load_weight(memory, p).quantized());
      EXPECT_TRUE(
          std::equal(a.data<float>().begin(), a.data<float>().end(), b.data<float>().begin()))
          << p.name;
    }
    EXPECT_EQ(r.file_bytes,
              static_cast<int64_t>(fs::file_size((folder / "out/model.safetensors"))));
  }
}

TEST(Quantize, TheSameInputGivesTheSameBytes) {
  const test::TempFolder folder;
  const std::string in = write_tiny_model((folder / "in"));
  Exec many;
  many.threads = 4;
  quantize_model(in, (folder / "a"), with("int4:g16"), Exec{});
  quantize_model(in, (folder / "b"), with("int4:g16"), many);
  for (const char* file : {"model.safetensors", "config.json", "nibble.json", "tokenizer.json"}) {
    EXPECT_EQ(bytes_of((folder / std::string("a/") + file)),
              bytes_of((folder / std::string("b/") + file)))
        << file;
  }
}

TEST(Quantize, KeepsWhatItIsTold) {
  const test::TempFolder folder;
  QuantizeOptions options = with("int8");
  options.keep = {parse_keep_rule("wte*"), parse_keep_rule("lm_head=f16")};
  const QuantizeResult r =
      quantize_model(write_tiny_model((folder / "in")), (folder / "out"), options, Exec{});
  EXPECT_EQ(r.kept, 2);
  EXPECT_EQ(r.quantized, 7);
  const Model out = open_model((folder / "out"));
  EXPECT_EQ(out.weights->get("wte.weight").plain().dtype(), DType::f32);
  EXPECT_EQ(out.weights->get("lm_head.weight").plain().dtype(), DType::f16);
  EXPECT_FALSE(schemes_of(out).contains("wte"));
  load_decoder(out);
}

TEST(Quantize, BitsCountKeptMatricesAtTheirStoredWidth) {
  const test::TempFolder folder;
  const std::string in = write_tiny_model((folder / "in"));
  const double all = quantize_model(in, (folder / "a"), with("int4:g16"), Exec{}).bits_per_weight;
  EXPECT_DOUBLE_EQ(all, 5.0);  // 4 bits and a 16-bit scale for 16 weights
  QuantizeOptions options = with("int4:g16");
  options.keep = {parse_keep_rule("layers.0.mlp.fc1")};
  const int64_t total = parameter_count(open_model(in).decoder_config()), kept = 64 * 16;
  const double mixed = quantize_model(in, (folder / "b"), options, Exec{}).bits_per_weight;
  EXPECT_NEAR(mixed,
              (5.0 * static_cast<double>(total - kept) + 32.0 * kept) / static_cast<double>(total),
              1e-12);
}

TEST(Quantize, ARaggedGroupIsStoredAsInt8AndSaidSo) {
  const test::TempFolder folder;
  const QuantizeResult r =
      quantize_model(write_tiny_model((folder / "in")), (folder / "out"), with("int4:g24"), Exec{});
  EXPECT_FALSE(r.warnings.empty());
  EXPECT_NE(r.warnings[0].find("stored as int8"), std::string::npos) << r.warnings[0];
  load_decoder(open_model((folder / "out")));
}

// A child made by fork() begins without helpers; they are made when somebody wants them.
TEST(Quantize, WorksOnAsManyThreadsAsItIsGiven) {
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  DecoderConfig config = tiny_config(tokenizer);
  config.intermediate_size = 256;
  const Model model = in_memory(config, random_weights(config, 3), tokenizer);
  for (const std::string method : {"rtn", "hqq"}) {
    QuantizeOptions options = with("int4:g16");
    options.method = method;
    const auto count_threads = [&](int threads) {
      Exec exec;
      exec.threads = threads;
      quantize_in_memory(model, options, exec);
      _exit(static_cast<int>(entries("/proc/self/task")));
    };
    EXPECT_EXIT(count_threads(1), testing::ExitedWithCode(1), "") << method;
    EXPECT_EXIT(count_threads(3), testing::ExitedWithCode(3), "") << method;
  }
}

TEST(Quantize, RefusesBeforeAnyWork) {
  const test::TempFolder folder;
  const std::string in = write_tiny_model((folder / "in"));
  const auto run = [&](const std::string& out, QuantizeOptions o) {
    quantize_model(in, out, o, Exec{});
  };
  EXPECT_EQ(test::kind_of([&] { run(in, with("int8")); }), "invalid_argument");
  fs::create_directory_symlink(in, (folder / "link"));
  EXPECT_EQ(test::kind_of([&] { run((folder / "link"), with("int8")); }), "invalid_argument");
  EXPECT_EQ(test::kind_of([&] { run((folder / "x"), with("nf4:g16")); }), "unsupported");
  QuantizeOptions typo = with("int8");
  typo.keep = {parse_keep_rule("wta*")};
  EXPECT_EQ(test::kind_of([&] { run((folder / "x"), typo); }), "invalid_argument");
  test::expect_error(IoCause::cannot_create, "",
                     [&] { run((folder / "no/such/place"), with("int8")); });
  run((folder / "done"), with("int8"));
  const std::string before = bytes_of((folder / "done/model.safetensors"));
  test::expect_error(IoCause::cannot_create, "", [&] { run((folder / "done"), with("int4:g16")); });
  EXPECT_EQ(bytes_of((folder / "done/model.safetensors")), before);
  EXPECT_EQ(entries(folder.path()), 3u);  // in, link, done: nothing else was left
}

TEST(Quantize, RefusesNotANumberByNameAndLeavesNothing) {
  const test::TempFolder folder;
  const CharTokenizer tokenizer = CharTokenizer::from_text(kTinyText, true);
  const DecoderConfig config = tiny_config(tokenizer);
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    TensorMap weights = random_weights(config, 3);
    weights.find("layers.0.mlp.fc2.weight")->second.mutable_data<float>()[64 * 3 + 5] = bad;
    fs::create_directories((folder / "in"));
    write_model((folder / "in"), config, weights, &tokenizer);
    try {
      quantize_model((folder / "in"), (folder / "out"), with("int8"), Exec{});
      ADD_FAILURE();
    } catch (const Error& e) {
      const std::string text = e.what();
      EXPECT_EQ(e.kind(), ErrorKind::corrupt);
      EXPECT_NE(text.find("layers.0.mlp.fc2.weight"), std::string::npos) << text;
      EXPECT_NE(text.find("row 3"), std::string::npos) << text;
      EXPECT_NE(text.find('5'), std::string::npos) << text;
    }
    EXPECT_EQ(entries(folder.path()), 1u);
  }
}

// DESIGN section 8 "Coverage": the Linear layers of the blocks; embeddings and head only when
// asked.
TEST(Quantize, CoversTheBlocksOfARealModel) {
  const std::string in = "../shared/data/models/llama-shakespeare";
  if (test::lacks_shared(in)) GTEST_SKIP() << in;
  const test::TempFolder folder;
  const QuantizeResult r = quantize_model(in, (folder / "a"), with("int4:g32"), Exec{});
  EXPECT_EQ(r.quantized, 35);
  EXPECT_EQ(r.kept, 0);
  EXPECT_DOUBLE_EQ(r.bits_per_weight, 4.5);
  const Model out = open_model((folder / "a"));
  EXPECT_EQ(out.weights->get("lm_head.weight").plain().dtype(), DType::f32);
  EXPECT_FALSE(schemes_of(out).contains("model.embed_tokens"));
  EXPECT_TRUE(fs::exists((folder / "a/tokenizer.json")));
  EXPECT_TRUE(fs::exists((folder / "a/generation_config.json")));
  EXPECT_NE(bytes_of((folder / "a/config.json")).find("LlamaForCausalLM"), std::string::npos);
  QuantizeOptions more = with("int8:a8");
  more.also = {"lm_head", "embeddings"};
  EXPECT_EQ(quantize_model(in, (folder / "b"), more, Exec{}).quantized, 37);
  load_decoder(open_model((folder / "b")));
}

TEST(Quantize, ConvertsToAnotherFloatType) {
  const test::TempFolder folder;
  const std::string in = write_tiny_model((folder / "in"));
  const QuantizeResult r = quantize_model(in, (folder / "out"), with("bf16"), Exec{});
  EXPECT_DOUBLE_EQ(r.bits_per_weight, 16.0);
  const Model out = open_model((folder / "out"));
  EXPECT_EQ(out.weights->get("wte.weight").plain().dtype(), DType::bf16);
  load_decoder(out);
}

TEST(Glob, MatchesAsPeopleExpect) {
  EXPECT_TRUE(glob_match("*", ""));
  EXPECT_TRUE(glob_match("layers.*.weight", "layers.0.mlp.fc1.weight"));
  EXPECT_TRUE(glob_match("layers.?.mlp*", "layers.7.mlp.fc1.weight"));
  EXPECT_FALSE(glob_match("layers.?.mlp*", "layers.12.mlp.fc1.weight"));
  EXPECT_FALSE(glob_match("wte", "wte.weight"));
  EXPECT_FALSE(glob_match("", "x"));
  const std::string many(2000, 'a');
  EXPECT_FALSE(glob_match("*a*a*a*a*a*b", many));
}

}  // namespace
}  // namespace nibble
