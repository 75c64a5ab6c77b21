// Steps of a tokenizer.json that stand where they cannot be done as they are written: each is
// refused by what it is and where it stands. And vocabularies that are none.
#include <gtest/gtest.h>

#include "nibble/text/load.h"
#include "tests/support/expect_error.h"
#include "tests/text/tokenizer_json.h"

namespace nibble {
namespace {

using test::expect_error;
using Sections = test::TokenizerJsonText;

void unsupported_section(const Sections& file, std::string_view words) {
  expect_error(ErrorKind::unsupported, words, [&] { file.load(); });
}
void corrupt_section(const Sections& file, std::string_view words) {
  expect_error(ErrorKind::corrupt, words, [&] { file.load(); });
}

std::string in_sequence(const std::string& name, const std::string& steps) {
  return R"({"type":"Sequence",")" + name + "\":[" + steps + "]}";
}
std::string pre(const std::string& steps) { return in_sequence("pretokenizers", steps); }
std::string decoders(const std::string& steps) { return in_sequence("decoders", steps); }

const std::string kBytesStep = R"({"type":"ByteLevel","add_prefix_space":false})",
                  kDigits = R"({"type":"Digits"})",
                  kMetaspace = R"({"type":"Metaspace","replacement":"_"})",
                  kFuse = R"({"type":"Fuse"})", kFallback = R"({"type":"ByteFallback"})",
                  kReplace = R"({"type":"Replace","pattern":{"String":"_"},"content":" "})",
                  kStrip = R"({"type":"Strip","content":" ","start":1,"stop":0})";

TEST(SectionOrder, NoStepOfCuttingStandsBehindBytes) {
  unsupported_section({.pre = pre(kBytesStep + "," + kDigits)}, "a step behind ByteLevel");
  unsupported_section({.pre = pre(kDigits + R"(,{"type":"ByteLevel"})")},
                      "a prefix space behind another step");
  unsupported_section({.pre = pre(kDigits + "," + kMetaspace)}, "Metaspace behind another step");
  unsupported_section({.pre = pre(kMetaspace + "," + kMetaspace)}, "Metaspace behind another step");
  std::string many = kDigits;
  for (int i = 0; i < 16; ++i) many += "," + kDigits;
  unsupported_section({.pre = pre(many)}, "more than 16 steps");
}

TEST(SectionOrder, SpacesBeforeATextAreAlwaysFirstOrNever) {
  unsupported_section(
      {.pre = R"({"type":"Metaspace","replacement":"_","prepend_scheme":"sometimes"})"},
      "\"sometimes\"");
  for (const char* bad : {"\"\"", "\"ab\""})
    corrupt_section({.pre = R"({"type":"Metaspace","replacement":)" + std::string(bad) + "}"},
                    "a single character");
}

TEST(SectionOrder, StepsOfDecodingStandWhereTheyCanBeDone) {
  unsupported_section({.decoder = decoders(kStrip)}, "Strip that is not behind Fuse");
  unsupported_section({.decoder = decoders(kFuse + "," + kReplace)},
                      "a step other than Strip behind Fuse");
  unsupported_section({.decoder = decoders(kFallback + "," + kReplace)},
                      "Replace behind ByteLevel or ByteFallback");
  unsupported_section({.decoder = decoders(kReplace + "," + kBytesStep)},
                      "ByteLevel behind another step");
  unsupported_section({.decoder = decoders(kFallback + "," + kBytesStep)},
                      "ByteLevel behind another step");
  unsupported_section({.decoder = decoders(kFuse + R"(,{"type":"Strip","content":" ","start":1,
                                                       "stop":1})")},
                      "stripping the end");
  corrupt_section({.decoder = decoders(kFuse + R"(,{"type":"Strip","content":" ","start":1025,
                                                   "stop":0})")},
                  "0 to 1024 characters");
  corrupt_section({.decoder = R"({"type":"Replace","pattern":{"String":""},"content":"x"})"},
                  "a text");
}

std::string template_of_parts(const std::string& parts) {
  return R"({"type":"TemplateProcessing","single":[)" + parts + R"(],"pair":[],"special_tokens":
    {"<unk>":{"id":"<unk>","ids":[3],"tokens":["<unk>"]},
     "<far>":{"id":"<far>","ids":[4],"tokens":["<far>"]}}})";
}

TEST(SectionOrder, ATemplateHasItsTextOnce) {
  const std::string text = R"({"Sequence":{"id":"A","type_id":0}})",
                    unk = R"({"SpecialToken":{"id":"<unk>","type_id":0}})",
                    far = R"({"SpecialToken":{"id":"<far>","type_id":0}})";
  unsupported_section({.post = template_of_parts(text + "," + text)}, "the text twice");
  corrupt_section({.post = template_of_parts(unk)}, "a place for the text (Sequence)");
  corrupt_section({.post = template_of_parts(far + "," + text)}, "a token's id");
  const std::string one = template_of_parts(unk + "," + text);
  unsupported_section({.post = in_sequence("processors", one + "," + one)}, "a second template");
  const BpeTokenizer t = Sections{.post = template_of_parts(unk + "," + text + "," + unk)}.load();
  EXPECT_EQ(t.encode("ab", true), (std::vector<int32_t>{3, 2, 3}));
}

TEST(ParseVocab, TakesAnObjectOfWholeNumbersOnly) {
  EXPECT_EQ(parse_vocab(R"({"a": 0, "b": 1})").find("b"), 1);
  const std::pair<const char*, const char*> bad[] = {
      {R"({"a": 0.5})", "expected an id, a whole number"},
      {R"({"a": "0"})", "expected an id, a whole number"},
      {R"({"a": true})", "expected an id, a whole number"},
      {R"({"a": null})", "expected an id, a whole number"},
      {R"({"a": {"b": 0}})", "expected ids, found an object"},
      {R"(["a"])", "expected tokens and their ids"},
      {R"(7)", "expected an object of tokens and their ids"}};
  for (const auto& [text, words] : bad)
    expect_error(ErrorKind::corrupt, words, [&, json = text] { parse_vocab(json); });
}

}  // namespace
}  // namespace nibble
