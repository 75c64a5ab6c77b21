// Bad models through the command: the rows S, T and Q of the catalogue of bad inputs. Each must end
// by itself with code 65 and one line that names the file, and leave nothing behind.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

std::string length_field(uint64_t n) {
  std::string bytes(8, '\0');
  for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<char>(n >> (8 * i));
  return bytes;
}

std::string safetensors(std::string_view header, std::string_view data = "") {
  return length_field(header.size()) + std::string(header) + std::string(data);
}

// One entry, as JSON: "name": {...}.
std::string entry(std::string_view name, std::string_view dtype, std::string_view shape,
                  std::string_view offsets) {
  return '"' + std::string(name) + R"(":{"dtype":")" + std::string(dtype) + R"(","shape":)" +
         std::string(shape) + R"(,"data_offsets":)" + std::string(offsets) + '}';
}

std::string object(std::string_view members) {
  return std::string(1, '{').append(members).append(1, '}');
}

std::string one(std::string_view shape, std::string_view offsets, size_t data = 16,
                std::string_view dtype = "F32") {
  return safetensors(object(entry("a", dtype, shape, offsets)), std::string(data, '\0'));
}

std::string two(std::string_view first, std::string_view second, size_t data = 32) {
  const std::string a = entry("a", "F32", "[4]", first), b = entry("b", "F32", "[4]", second);
  return safetensors(object(a + ',' + b), std::string(data, '\0'));
}

std::string overlapping(int count) {
  std::string members;
  for (int i = 0; i < count; ++i) {
    if (i > 0) members += ',';
    members += entry(std::to_string(i), "F32", "[4]", "[0,16]");
  }
  return safetensors(object(members), std::string(16, '\0'));
}

std::string many_dims() {
  std::string shape = "[1";
  for (int i = 1; i < 10000; ++i) shape += ",1";
  return one(shape + "]", "[0,4]", 4);
}

struct BadFile {
  const char* name;
  std::string bytes;
  const char* words;  // that the message must hold
};
void PrintTo(const BadFile& file, std::ostream* out) { *out << file.name; }

std::vector<BadFile> bad_files() {
  const std::string ok = entry("a", "F32", "[4]", "[0,16]");
  const std::string data(16, '\0');
  return {
      {"S1_empty", "", ""},
      {"S1_seven_bytes", std::string(7, '\1'), "7"},
      {"S2_length_2_63", length_field(uint64_t{1} << 63) + "{}", "100"},
      {"S2_length_2_64", length_field(~uint64_t{0}) + "{}", "100"},
      {"S2_length_over_limit", length_field(100000001) + "{}", "100"},
      {"S3_header_past_end", length_field(1000) + std::string(52, ' '), "1000"},
      {"S4_byte_ff", safetensors("\xff"), ""},
      {"S4_overlong", safetensors("{\"\xc0\xaf\":1}"), "UTF-8"},
      {"S4_lone_surrogate", safetensors(R"({"\ud800":1})"), ""},
      {"S5_open_brace", safetensors("{"), ""},
      {"S5_array", safetensors("[]"), ""},
      {"S5_null", safetensors("null"), ""},
      {"S5_brackets", safetensors(std::string(size_t{1} << 20, '[')), ""},
      {"S5_deep", safetensors(object("\"a\":" + std::string(size_t{1} << 19, '['))), "\"a\""},
      {"S5_trailing_garbage", safetensors(object(ok) + " x", data), ""},
      {"S6_same_name_twice", safetensors(object(ok + ',' + ok), data), "duplicate"},
      {"S6_shape_twice",
       safetensors(R"({"a":{"dtype":"F32","shape":[4],"shape":[4],"data_offsets":[0,16]}})", data),
       "duplicate"},
      {"S6_metadata_twice", safetensors(R"({"__metadata__":{},"__metadata__":{}})"), "duplicate"},
      {"S7_hole", two("[0,16]", "[20,36]", 36), "b"},
      {"S7_overlap", two("[0,16]", "[8,24]", 24), "overlap"},
      {"S7_first_not_zero", one("[4]", "[4,20]", 20), "a"},
      {"S7_end_before_begin", one("[4]", "[16,0]"), "a"},
      {"S7_negative", one("[4]", "[-16,0]"), "a"},
      {"S7_exponent", one("[4]", "[0,1.6e1]"), "a"},
      {"S7_fraction", one("[4]", "[0.0,16]"), "a"},
      {"S7_text", one("[4]", R"(["0","16"])"), "a"},
      {"S8_overflow", one("[2,18446744073709551614]", "[0,16]"), "a"},
      {"S8_overflow_signed", one("[2,9223372036854775807]", "[0,16]"), "a"},
      {"S8_many_dims", many_dims(), "a"},
      {"S8_negative_dim", one("[-4]", "[0,16]"), "a"},
      {"S9_too_short", one("[4]", "[0,12]", 12), "16"},
      {"S10_unknown_dtype", one("[4]", "[0,16]", 16, "F12"), "F12"},
      {"S10_half_a_byte", one("[3]", "[0,2]", 2, "F4"), "F4"},
      {"S11_trailing_bytes", one("[4]", "[0,16]", 50), "34"},
      {"S11_missing_bytes", one("[4]", "[0,16]", 14), "2"},
      {"S12_overlapping", overlapping(20000), "overlap"},
      {"S13_metadata_number", safetensors(R"({"__metadata__":{"a":1}})"), "__metadata__"},
      {"S14_empty_name", safetensors(object(entry("", "F32", "[4]", "[0,16]")), data), "name"},
      {"S14_nul_in_name", safetensors(object(entry("a\\u0000b", "F32", "[4]", "[0,16]")), data),
       "name"},
      {"S14_long_name",
       safetensors(object(entry(std::string(size_t{1} << 20, 'n'), "F32", "[4]", "[0,16]")), data),
       "name"},
      {"S15_legal_but_not_this_model", one("[4]", "[0,16]"), "wte"},
      {"S16_lfs_pointer",
       "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 1234\n", "LFS"},
      {"S16_html", "<!DOCTYPE html>\n<html><body>404</body></html>\n", "HTML"},
      {"X1_zip", "PK\3\4" + std::string(60, '\0'), ""},
      {"X1_gzip", "\x1f\x8b\x08" + std::string(60, '\0'), ""},
      {"X1_pickle", "\x80\x02}q." + std::string(60, '\0'), ""},
  };
}

class BadSafetensors : public WithModel, public ::testing::WithParamInterface<BadFile> {};
INSTANTIATE_TEST_SUITE_P(Command, BadSafetensors, ::testing::ValuesIn(bad_files()),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(BadSafetensors, IsRejectedByEveryVerb) {
  const BadFile& bad = GetParam();
  put_file(weights(), bad.bytes);
  const auto before = contents(folder_.path());
  const std::vector<std::vector<std::string>> commands = {
      quantize(), {"eval", model(), "--text", "data/names.txt"}, {"inspect", model()}};
  for (const auto& words : commands) {
    SCOPED_TRACE(words[0]);
    const CommandResult r = run_nibble(words);
    expect_rejected(r, 65, bad.words);
    EXPECT_NE(r.err.find(model()), std::string::npos) << r.err;
    EXPECT_LT(r.err.size(), 2000u) << "a message, not a dump";
    if (!kSanitized) {
      EXPECT_LT(r.seconds, 2);
      EXPECT_LE(r.peak_rss_bytes, static_cast<int64_t>(2 * bad.bytes.size() + (64 << 20)));
    }
  }
  EXPECT_EQ(contents(folder_.path()), before) << "nothing is left behind";
}

// The file cut at many places: each is rejected, none is taken for a smaller model.
TEST_F(WithModel, RejectsAFileCutAnywhere) {
  const std::string whole = get_file(weights());
  for (size_t size = 0; size < whole.size(); size += size < 64 ? 7 : 997) {
    SCOPED_TRACE(size);
    put_file(weights(), whole.substr(0, size));
    expect_rejected(run_nibble(quantize()), 65, "model.safetensors");
  }
  EXPECT_TRUE(std::filesystem::is_empty(outputs()));
}

class BadWeights : public WithModel {
 protected:
  // Overwrites floats at the end of the data, which belong to the tensor stored last.
  void spoil(const std::vector<float>& values) {
    std::string bytes = get_file(weights());
    const size_t size = values.size() * sizeof(float);
    std::memcpy(bytes.data() + bytes.size() - size, values.data(), size);
    put_file(weights(), bytes);
  }
};

TEST_F(BadWeights, Q1_nan_is_named_by_place) {
  spoil({std::numeric_limits<float>::quiet_NaN()});
  const CommandResult r = run_nibble(quantize());
  expect_rejected(r, 65, "NaN");
  EXPECT_NE(r.err.find("tensor \""), std::string::npos) << r.err;
  EXPECT_NE(r.err.find("row"), std::string::npos) << r.err;
  EXPECT_TRUE(std::filesystem::is_empty(outputs()));
}

TEST_F(BadWeights, Q1_infinity_is_named_by_place) {
  spoil({-std::numeric_limits<float>::infinity()});
  expect_rejected(run_nibble(quantize()), 65, "tensor \"");
  expect_rejected(run_nibble(quantize("int4:g16:asym")), 65, "tensor \"");
}

TEST_F(BadWeights, Q2_zeros_stay_zero) {
  spoil(std::vector<float>(16 * 64, 0.0f));
  expect_success(run_nibble(quantize("int4:g16")));
  expect_success(
      run_nibble({"eval", out(), "--text", "data/names.txt", "--heldout"}, {.limit_s = 60}));
}

TEST_F(BadWeights, Q3_scale_below_f16_is_harmless) {
  for (const float tiny : {1e-30f, 1e-45f, 6e-8f}) {
    spoil(std::vector<float>(64, tiny));
    auto words = quantize();
    words.emplace_back("--force");
    expect_success(run_nibble(words));
    const CommandResult r =
        run_nibble({"eval", out(), "--text", "data/names.txt", "--heldout"}, {.limit_s = 60});
    expect_success(r);
    EXPECT_EQ(r.out.find("nan"), std::string::npos) << r.out;
  }
}

TEST_F(BadWeights, Q4_scale_beyond_f16) {
  spoil({1e30f});
  expect_rejected(run_nibble(quantize()), 65, "scale");
  auto words = quantize();
  words.insert(words.end(), {"--scale-dtype", "f32"});
  expect_success(run_nibble(words));
}

TEST_F(BadWeights, Q4_names_model_and_tensor_where_calibrated) {
  spoil({1e30f});
  for (const char* method : {"imatrix", "gptq", "yaqa", "awq", "smoothquant+gptq"}) {
    auto words = quantize();
    words.insert(words.end(), {"--method", method, "--calib", "data/names.txt", "--force"});
    const CommandResult r = run_nibble(words);
    expect_rejected(r, 65, model() + ": tensor \"");
    EXPECT_EQ(r.err.find("tensor \"weight\""), std::string::npos) << r.err;
  }
}

TEST_F(WithModel, Q10_groups) {
  for (const std::string bad : {"int4:g0", "int4:g-1", "int4:g", "int4:g99999999999999999999",
                                "int9", "int8:", "int8:x", "INT8", "", "int8:g4:g4"}) {
    SCOPED_TRACE(bad);
    expect_rejected(run_nibble(quantize(bad)), 64, "scheme");
  }
  expect_success(run_nibble(quantize("int4:g4096")));  // more than there is: one group
}

TEST_F(WithModel, Q14_text_too_short_to_predict) {
  put_file(folder_ / "text", "");
  expect_rejected(run_nibble({"eval", model(), "--text", folder_ / "text"}), 65, folder_ / "text");
  put_file(folder_ / "text", " \n\n");
  expect_rejected(run_nibble({"eval", model(), "--text", folder_ / "text"}), 65, folder_ / "text");
}

TEST_F(WithModel, A_prompt_that_does_not_fit_prints_nothing) {
  const CommandResult r = run_nibble(
      {"generate", model(), "--prompt", "ab", "--max-new-tokens", "1000", "--temperature", "0"});
  expect_rejected(r, 64, "context of 16");
  expect_rejected(run_nibble({"generate", model(), "--temperature", "-1"}), 64, "temperature");
  expect_rejected(run_nibble({"generate", model(), "--top-p", "0"}), 64, "top-p");
}

TEST_F(WithModel, TextWithACharacterTheModelDoesNotKnow) {
  put_file(folder_ / "text", "anna\nzoë\n");
  const CommandResult r = run_nibble({"eval", model(), "--text", folder_ / "text"});
  EXPECT_TRUE(r.exit_code == 64 || r.exit_code == 65) << r.err;
  EXPECT_EQ(r.out, "");
}

struct BadConfig {
  const char* name;
  const char* text;
  const char* words;
};
void PrintTo(const BadConfig& config, std::ostream* out) { *out << config.name; }

const BadConfig kBadConfigs[] = {
    {"empty", "", "config.json"},
    {"not_json", "hello", "config.json"},
    {"array", "[]", "config.json"},
    {"no_type", "{}", "model_type"},
    {"type_unknown", R"({"model_type":"mamba"})", "micro_gpt"},
    {"type_number", R"({"model_type":3})", "model_type"},
    {"key_missing", R"({"model_type":"micro_gpt"})", "key"},
    {"duplicate", R"({"model_type":"micro_gpt","model_type":"micro_gpt"})", "duplicate"},
    {"layers_text",
     R"({"model_type":"micro_gpt","n_embd":16,"n_layer":"1","n_head":4,"block_size":16,"vocab_size":27})",
     "n_layer"},
    {"layers_huge",
     R"({"model_type":"micro_gpt","n_embd":16,"n_layer":1000000000,"n_head":4,"block_size":16,"vocab_size":27})",
     ""},
    {"layers_negative",
     R"({"model_type":"micro_gpt","n_embd":16,"n_layer":-1,"n_head":4,"block_size":16,"vocab_size":27})",
     ""},
    {"heads_zero",
     R"({"model_type":"micro_gpt","n_embd":16,"n_layer":1,"n_head":0,"block_size":16,"vocab_size":27})",
     "n_head"},
    {"heads_do_not_divide",
     R"({"model_type":"micro_gpt","n_embd":16,"n_layer":1,"n_head":5,"block_size":16,"vocab_size":27})",
     "n_head"},
    {"width_overflows",
     R"({"model_type":"micro_gpt","n_embd":4611686018427387904,"n_layer":1,"n_head":4,"block_size":16,"vocab_size":27})",
     ""},
    {"width_of_another_model",
     R"({"model_type":"micro_gpt","n_embd":32,"n_layer":1,"n_head":4,"block_size":16,"vocab_size":27})",
     "tensor"},
    {"context_zero",
     R"({"model_type":"micro_gpt","n_embd":16,"n_layer":1,"n_head":4,"block_size":0,"vocab_size":27})",
     ""},
    {"vocabulary_of_another_model",
     R"({"model_type":"micro_gpt","n_embd":16,"n_layer":1,"n_head":4,"block_size":16,"vocab_size":28})",
     ""},
};

class BadConfigs : public WithModel, public ::testing::WithParamInterface<BadConfig> {};
INSTANTIATE_TEST_SUITE_P(Command, BadConfigs, ::testing::ValuesIn(kBadConfigs),
                         [](const auto& test) { return std::string(test.param.name); });

TEST_P(BadConfigs, T1_are_rejected) {
  put_file(model() + "/config.json", GetParam().text);
  expect_rejected(run_nibble(quantize()), 65, GetParam().words);
  expect_rejected(run_nibble({"generate", model()}), 65, GetParam().words);
  EXPECT_TRUE(std::filesystem::is_empty(outputs()));
}

TEST_F(WithModel, T8_index_that_leaves_the_folder) {
  const std::string bytes = get_file(weights());
  put_file(folder_ / "outside.safetensors", bytes);
  std::filesystem::remove(weights());
  std::filesystem::create_symlink("../outside.safetensors", model() + "/link.safetensors");
  ASSERT_EQ(mkfifo((model() + "/fifo.safetensors").c_str(), 0600), 0);
  for (const std::string target :
       {"../outside.safetensors", "/etc/passwd", "a/../../outside.safetensors", "link.safetensors",
        "fifo.safetensors", ""}) {
    SCOPED_TRACE(target);
    put_file(model() + "/model.safetensors.index.json",
             R"({"weight_map":{"wte.weight":")" + target + R"("}})");
    const CommandResult r = run_nibble(quantize());
    EXPECT_TRUE(r.exit_code == 65 || (target == "fifo.safetensors" && r.exit_code == 66)) << r.err;
    EXPECT_EQ(r.out, "");
    EXPECT_TRUE(std::filesystem::is_empty(outputs()));
  }
}

}  // namespace
}  // namespace nibble::test
