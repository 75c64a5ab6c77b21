// Against what Hugging Face's tokenizers and SentencePiece make of the same texts.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "nibble/text/tokenizer.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<int32_t>;
const std::string kData = "../shared/data/";

std::string put_together(const Tokenizer& tokenizer, const Ids& ids) {
  StreamDecoder stream(tokenizer, false);
  std::string text;
  for (const int32_t id : ids) text += stream.push(id);
  return text + stream.finish();
}

class Cases : public testing::TestWithParam<const char*> {};

TEST_P(Cases, AllEqual) {
  const std::string folder = kData + "tokenizers/" + GetParam();
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  const auto tokenizer = load_tokenizer(folder);
  const Json cases = Json::parse(test::get_file(folder + "/cases.json"));
  ASSERT_GT(cases.size(), 100u);
  for (const Json& c : cases) {
    const auto text = c["text"].get<std::string>();
    const auto ids = c["ids"].get<Ids>();
    EXPECT_EQ(tokenizer->encode(text, false), ids) << "text: " << text;
    EXPECT_EQ(put_together(*tokenizer, ids), tokenizer->decode(ids)) << "text: " << text;
    if (GetParam() != std::string("llama2") || text.empty() || text[0] != ' ') {
      EXPECT_EQ(tokenizer->decode(ids), text);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, Cases, testing::Values("gpt2", "llama2", "qwen2"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Gpt2Files, VocabAndMergesAreTheSameTokenizer) {
  const std::string folder = kData + "tokenizers/gpt2";
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  test::TempFolder copy;
  for (const char* name : {"vocab.json", "merges.txt"}) {
    std::filesystem::copy(folder + "/" + name, copy / name);
  }
  const auto tokenizer = load_tokenizer(copy.path());
  for (const Json& c : Json::parse(test::get_file(folder + "/cases.json"))) {
    EXPECT_EQ(tokenizer->encode(c["text"].get<std::string>(), false), c["ids"].get<Ids>());
  }
}

class Models : public testing::TestWithParam<const char*> {};

TEST_P(Models, PromptAndTextAsTransformersHasThem) {
  const std::string name = GetParam(), folder = kData + "models/" + name;
  if (test::lacks_shared(folder)) GTEST_SKIP() << folder;
  const auto tokenizer = load_tokenizer(folder);
  const Json golden = Json::parse(test::get_file("../shared/golden/" + name + ".json"));
  EXPECT_EQ(tokenizer->encode(golden["prompt"].get<std::string>(), true),
            golden["prompt_ids"].get<Ids>());
  const std::string text = test::get_file(kData + "text/" + golden["text"].get<std::string>());
  Ids ids = tokenizer->encode(text, false);
  EXPECT_EQ(ids.size(), golden["text_tokens"].get<size_t>());
  EXPECT_EQ(tokenizer->decode(ids), text);
  ids.resize(golden["first_ids"].size());
  EXPECT_EQ(ids, golden["first_ids"].get<Ids>());
  const auto greedy = golden["greedy_ids"].get<Ids>();
  EXPECT_EQ(tokenizer->decode(greedy), golden["greedy_text"].get<std::string>());
  EXPECT_EQ(put_together(*tokenizer, greedy), golden["greedy_text"].get<std::string>());
}

INSTANTIATE_TEST_SUITE_P(Golden, Models,
                         testing::Values("stories260k", "gpt2-shakespeare", "llama-shakespeare",
                                         "gpt2-shakespeare-outliers", "llama-shakespeare-outliers"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace nibble
