// Every section of a tokenizer.json in turn, against the ids and texts of Hugging Face's tokenizers
// (tests/golden/make_tokenizer_sections.py).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "nibble/text/load.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<int32_t>;

const Json& golden_sections() {
  static const Json json = Json::parse(test::get_file("tests/golden/text/tokenizer_sections.json"));
  return json;
}

// The base's sections with the case's own in their place; of a model only the settings differ.
std::string file_of(const Json& one) {
  Json file = golden_sections().at("bases").at(one.at("base"));
  for (const auto& [name, value] : one.at("sections").items()) {
    if (name == "model") {
      file["model"].update(value);
    } else {
      file[name] = value;
    }
  }
  return file.dump();
}

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  StreamDecoder stream(tokenizer, skip_special);
  std::string text;
  for (const int32_t id : ids) text += stream.push(id);
  return text + stream.finish();
}

void expect_equal(const BpeTokenizer& tokenizer, const std::string& text, const Json& result) {
  const auto ids = result.at("ids").get<Ids>();
  EXPECT_EQ(tokenizer.encode(text, true), ids) << "text: " << text;
  for (const bool skip : {false, true}) {
    const std::string decoded = result.value(skip ? "plain" : "decoded", text);
    EXPECT_EQ(tokenizer.decode(ids, skip), decoded) << "text: " << text;
    EXPECT_EQ(streamed(tokenizer, ids, skip), decoded) << "text: " << text;
  }
}

TEST(TokenizerSections, DoWhatHuggingFacesTokenizersDo) {
  const auto texts = golden_sections().at("texts").get<std::vector<std::string>>();
  ASSERT_GT(golden_sections().at("cases").size(), 80u);
  for (const Json& one : golden_sections().at("cases")) {
    SCOPED_TRACE(one.at("base").get<std::string>() + " " + one.at("sections").dump());
    const BpeTokenizer tokenizer(parse_tokenizer_json(file_of(one)));
    for (size_t i = 0; i < texts.size(); ++i) {
      expect_equal(tokenizer, texts[i], one.at("results").at(i));
    }
  }
}

}  // namespace
}  // namespace nibble
