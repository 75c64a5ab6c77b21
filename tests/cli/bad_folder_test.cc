// Rows T1, T2, T10 and L of the catalogue of bad inputs, through the command.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/cli/cli_test.h"

namespace nibble::test {
namespace {

using nlohmann::json;

const std::string kModels = "tests/golden/models/";

class BadFolder : public ::testing::Test {
 protected:
  // A copy of a small model with random weights, without tokenizer.
  void take(const std::string& name) {
    std::filesystem::copy(kModels + name, model(), std::filesystem::copy_options::recursive);
  }
  void set(const std::string& key, const json& value) {
    json config = json::parse(get_file(model() + "/config.json"));
    config[key] = value;
    put_file(model() + "/config.json", config.dump());
  }
  CommandResult inspect() const { return run_nibble({"inspect", model()}); }
  std::string model() const { return folder_ / "model"; }
  TempFolder folder_;
};

TEST_F(BadFolder, T1_config_missing_or_huge) {
  take("llama");
  expect_success(inspect());
  const std::string config = get_file(model() + "/config.json");
  put_file(model() + "/config.json", std::string(100'000'000, ' '));
  const CommandResult huge = inspect();
  expect_rejected(huge, 65, "config.json");
  if (!kSanitized) {
    EXPECT_LE(huge.peak_rss_bytes, (64 << 20) + 200'000'000);
  }
  std::filesystem::remove(model() + "/config.json");
  expect_rejected(inspect(), 66, "config.json");
}

TEST_F(BadFolder, T1_values_no_model_has) {
  take("llama");
  const std::string config = get_file(model() + "/config.json");
  for (const json& bad :
       {json("12"), json(1e9), json(1000000000), json(-1), json(nullptr), json(0), json::array()}) {
    put_file(model() + "/config.json", config);
    set("num_hidden_layers", bad);
    expect_rejected(inspect(), 65, "num_hidden_layers");
  }
  put_file(model() + "/config.json", config);
  set("model_type", "gemma");
  expect_rejected(inspect(), 65, "qwen2");
}

// A head of its own that is not there: what most often is meant.
TEST_F(BadFolder, T2_head_that_is_not_there) {
  take("llama-tied");
  set("tie_word_embeddings", false);
  expect_rejected(inspect(), 65, "tensor \"lm_head.weight\": the config asks for this tensor");
  expect_rejected(inspect(), 65, "\"tie_word_embeddings\": true");
}

// git without git-lfs leaves pointers; a failed download is a web page.
TEST_F(BadFolder, FilesThatWereNotFetchedAreCalledSo) {
  take("llama");
  const auto refused = [&](const std::string& name, const std::vector<std::string>& words) {
    const std::string path = model() + "/" + name;
    const std::string before = std::filesystem::exists(path) ? get_file(path) : "";
    put_file(path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
    expect_rejected(run_nibble(words), 65, path + ": looks like a Git LFS pointer, not ");
    put_file(path, "<!DOCTYPE html>\n<html>Not found</html>\n");
    expect_rejected(run_nibble(words), 65, path + ": looks like an HTML page, not ");
    before.empty() ? void(std::filesystem::remove(path)) : put_file(path, before);
  };
  const std::vector<std::string> tokenize = {"tokenize", model(), "--text", "a"};
  refused("config.json", {"inspect", model()});
  refused("model.safetensors", {"inspect", model()});
  for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.json",
                           "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"})
    refused(name, tokenize);
  put_file(model() + "/tokenizer.json",
           R"({"added_tokens":[],"decoder":{"type":"Fuse"},"model":{"type":"BPE","vocab":{"a":0},
               "merges":[]}})");
  refused("generation_config.json", {"generate", model(), "--prompt", "a"});
}

// Models in other containers, alone in their folder.
TEST_F(BadFolder, OtherContainersAreCalledByTheirName) {
  take("llama");
  std::filesystem::remove(model() + "/model.safetensors");
  for (const char* name : {"model.gguf", "flax_model.msgpack", "pytorch_model.bin"}) {
    put_file(model() + "/" + name, "x");
    expect_rejected(inspect(), 65,
                    "holds \"" + std::string(name) + "\" but no *.safetensors: convert it");
    std::filesystem::remove(model() + "/" + name);
  }
}

TEST_F(BadFolder, T2_tied_head_that_differs) {
  take("llama");
  set("tie_word_embeddings", true);
  expect_rejected(inspect(), 65, "tie_word_embeddings");
}

TEST_F(BadFolder, T2_width_contradicts_the_tensors) {
  take("llama");
  const json config = json::parse(get_file(model() + "/config.json"));
  set("intermediate_size", config.at("intermediate_size").get<int64_t>() + 8);
  expect_rejected(inspect(), 65, "expected shape");
}

TEST_F(BadFolder, T10_shards_of_two_models) {
  take("llama-sharded");
  expect_success(inspect());
  const json config = json::parse(get_file(model() + "/config.json"));
  // The tensors of the second shard as those of a model of another width.
  const std::string shard = model() + "/model-00002-of-00002.safetensors";
  std::string bytes = get_file(shard);
  const size_t at = bytes.find("\"shape\":[");
  ASSERT_NE(at, std::string::npos);
  const size_t end = bytes.find(']', at);
  const std::string shape = bytes.substr(at, end - at);
  const size_t comma = shape.find(',');
  ASSERT_NE(comma, std::string::npos) << shape;
  const std::string turned =
      "\"shape\":[" + shape.substr(comma + 1) + "," + shape.substr(9, comma - 9);
  ASSERT_EQ(turned.size(), shape.size());
  if (turned == shape) GTEST_SKIP() << "a square matrix";
  bytes.replace(at, shape.size(), turned);
  put_file(shard, bytes);
  expect_rejected(inspect(), 65, "expected shape");
}

std::string llama2c_header(const std::vector<int32_t>& values) {
  std::string out;
  for (const int32_t v : values) {
    for (int i = 0; i < 4; ++i) out += static_cast<char>(static_cast<uint32_t>(v) >> (8 * i));
  }
  return out;
}

// dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len
TEST(BadLlama2c, L1_L2_are_rejected_by_name) {
  const TempFolder folder;
  const std::vector<int32_t> good = {8, 16, 1, 2, 2, 32, 16};
  const std::vector<std::pair<size_t, int32_t>> changes = {
      {0, 0}, {0, -1}, {0, INT32_MAX}, {3, 3}, {4, 0}, {4, 3}, {5, INT32_MIN}, {6, 0}, {2, -5}};
  for (const auto& [index, value] : changes) {
    std::vector<int32_t> header = good;
    header[index] = value;
    put_file(folder / "m.bin", llama2c_header(header) + std::string(4096, '\0'));
    const CommandResult r = run_nibble({"inspect", folder / "m.bin"});
    expect_rejected(r, 65, "m.bin");
    EXPECT_LT(r.seconds, 2);
  }
  for (const size_t bytes : {size_t{0}, size_t{7}, size_t{28}, size_t{4096}}) {
    put_file(folder / "m.bin", (llama2c_header(good) + std::string(4096, '\0')).substr(0, bytes));
    expect_rejected(run_nibble({"inspect", folder / "m.bin"}), 65, "m.bin");
  }
}

}  // namespace
}  // namespace nibble::test
