// Models that SentencePiece trained, against the ids and texts it makes with them
// (tests/golden/make_sentencepiece.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "nibble/text/load.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<int32_t>;

std::string from_base64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) break;  // "=" at the end
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out += static_cast<char>(bits >> count);
  }
  return out;
}

const Json& golden() {
  static const Json json = Json::parse(test::get_file("tests/golden/text/sentencepiece.json"));
  return json;
}

class SentencePieceModels : public testing::TestWithParam<std::string> {
 protected:
  const Json& model() const { return golden().at("models").at(GetParam()); }
};

TEST_P(SentencePieceModels, EncodeAndDecodeAsSentencePieceDoes) {
  const std::string file = from_base64(model().at("model").get<std::string>());
  const BpeTokenizer t(parse_sentencepiece(std::as_bytes(std::span(file))));
  EXPECT_EQ(t.bos(), model().at("bos").get<int32_t>());
  EXPECT_EQ(t.eos(), model().at("eos").get<int32_t>());
  const auto texts = golden().at("texts").get<std::vector<std::string>>();
  int decoded = 0;
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto ids = model().at("results").at(i).at("ids").get<Ids>();
    EXPECT_EQ(t.encode(texts[i], false), ids) << "text: " << texts[i];
    // Unknown pieces and marks of a text show as in Hugging Face's tokenizers: "<unk>" instead of
    // " \u2047 ", and one space taken off the beginning.
    const bool unknown = std::find(ids.begin(), ids.end(), *t.added_token("<unk>")) != ids.end();
    if (unknown || texts[i].find("\u2581") != std::string::npos) continue;
    EXPECT_EQ(t.decode(ids), model().at("results").at(i).at("decoded").get<std::string>())
        << "text: " << texts[i];
    ++decoded;
  }
  EXPECT_GE(decoded, 5);
}

INSTANTIATE_TEST_SUITE_P(Golden, SentencePieceModels,
                         testing::Values("plain", "byte fallback", "no dummy prefix", "spaces kept",
                                         "user defined", "digits", "other ids"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

}  // namespace
}  // namespace nibble
