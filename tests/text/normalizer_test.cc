// What becomes of a text before it is cut, and how much of it a file may make.
#include "nibble/text/normalizer.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <chrono>

#include "nibble/text/utf8.h"
#include "tests/support/temp_folder.h"
#include "tests/text/tokenizer_json.h"

namespace nibble {
namespace {

using namespace std::literals;
using Ids = std::vector<int32_t>;
using File = test::TokenizerJsonText;
using test::expect_error;

std::string after(std::unique_ptr<Normalizer> step, std::string text, bool first = true) {
  Normalizers steps;
  steps.push_back(std::move(step));
  RegexScratch regex(text.size());
  return normalized(steps, std::move(text), first, regex);
}

// The values are those of Hugging Face's tokenizers.
TEST(Normalizers, DoWhatTheirNamesSay) {
  EXPECT_EQ(after(make_lowercase(), "A\u00c4\u0130\u03a3!"), "a\u00e4i\u0307\u03c3!");
  EXPECT_EQ(after(make_prepend("x"), "a"), "xa");
  EXPECT_EQ(after(make_prepend("x"), ""), "");
  EXPECT_EQ(after(make_prepend("x", true), "a", true), "xa");
  EXPECT_EQ(after(make_prepend("x", true), "a", false), "a");
  EXPECT_EQ(after(make_replace("aa", "b"), "aaaaa"), "bba");
  EXPECT_EQ(after(make_replace("a", ""), "banana"), "bnn");
  EXPECT_EQ(after(make_replace(Regex(" {2,}"), " "), "a   b  "), "a b ");
  EXPECT_EQ(after(make_replace(Regex("x*"), "-"), "a\u00e9"), "-a-\u00e9-");
  EXPECT_EQ(after(make_replace(Regex("(a)"), "$1"), "a"), "$1");  // no group is put in
  EXPECT_EQ(after(make_strip(true, true), " \u3000\ta b\n "), "a b");
  EXPECT_EQ(after(make_strip(true, false), " a "), "a ");
  EXPECT_EQ(after(make_strip(false, true), " a "), " a");
  EXPECT_EQ(after(make_strip(true, true), " \n"), "");
  EXPECT_EQ(after(make_single_spaces(), "  a   b c  "), "a b c");
  EXPECT_EQ(after(make_single_spaces(), "   "), "");
  EXPECT_EQ(after(make_normal_form(NormalForm::nfkc), "\ufb01\u2126"), "fi\u03a9");
}

TEST(Normalizers, AllStepsInOrder) {
  Normalizers steps;
  steps.push_back(make_replace("a", "b"));
  steps.push_back(make_replace("b", "cc"));
  steps.push_back(make_prepend("<"));
  RegexScratch regex(16);
  EXPECT_EQ(normalized(steps, "ab", true, regex), "<cccc");
}

RC_GTEST_PROP(NormalForm, IsItsOwnNormalForm, (const std::vector<uint16_t>& draws)) {
  std::string text;
  for (const uint16_t d : draws) append_utf8(text, d >= 0xD800 && d < 0xE000 ? U'x' : char32_t{d});
  for (const NormalForm form :
       {NormalForm::nfc, NormalForm::nfd, NormalForm::nfkc, NormalForm::nfkd}) {
    const std::string once = normal_form(text, form);
    RC_ASSERT(normal_form(once, form) == once);
    RC_ASSERT(once.size() <= most_grown(text.size()));
  }
  // Composing and decomposing meet in the same text.
  RC_ASSERT(normal_form(normal_form(text, NormalForm::nfc), NormalForm::nfd) ==
            normal_form(text, NormalForm::nfd));
}

TEST(Normalizers, TheLongestDecompositionIsFarBelowTheLimit) {
  std::string text;
  for (int i = 0; i < 10'000; ++i) text += "\ufdfa";  // one becomes eighteen
  EXPECT_EQ(after(make_normal_form(NormalForm::nfkd), text).size(), 11 * text.size());
}

constexpr std::string_view kTooLong = "it makes more than";

TEST(Normalizers, NoStepMakesATextMuchLonger) {
  EXPECT_EQ(after(make_prepend(std::string(1000, 'x')), "a").size(), 1001u);
  const auto grows = [](std::unique_ptr<Normalizer> step, const std::string& text) {
    expect_error(ErrorKind::corrupt, kTooLong, [&] { after(std::move(step), text); });
  };
  grows(make_prepend(std::string(2000, 'x')), "a");
  grows(make_replace("a", std::string(100, 'a')), std::string(100, 'a'));
  grows(make_replace(Regex("a"), std::string(100, 'a')), std::string(100, 'a'));
  grows(make_replace(Regex(""), std::string(40, 'a')), std::string(1000, 'x'));
}

std::string steps_of(const std::string& step, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += (i > 0 ? "," : "") + step;
  return R"({"type":"Sequence","normalizers":[)" + out + "]}";
}
const std::string kTimesTen =
    R"({"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaaaa"})";

// Each of these took minutes, or all memory.
TEST(Normalizers, AFileCannotMakeOneTextManyTimesAsLong) {
  expect_error(ErrorKind::corrupt, "key \"normalizer\": it makes more than 1152 bytes",
               [] { File{.normalizer = steps_of(kTimesTen, 9)}.load().encode("aaaa", true); });
  // The same when the file is opened, by a token that is looked for in the normalized text.
  test::refused({.added = R"([{"id":4,"content":"<a>","normalized":true}])",
                 .normalizer = steps_of(kTimesTen, 9)},
                "key \"normalizer\": it makes more than");
  // It may grow by what each of its bytes allows.
  EXPECT_EQ(File{.normalizer = steps_of(kTimesTen, 3)}.load().encode("a", false).size(), 1000u);
}

TEST(Normalizers, AFileCannotHaveManySteps) {
  const std::string lower = R"({"type":"Lowercase"})";
  EXPECT_EQ(File{.normalizer = steps_of(lower, 64)}.load().encode("AB", false), (Ids{2}));
  test::refused({.normalizer = steps_of(lower, 65)}, "more than 64 steps");
  test::refused({.normalizer = steps_of(lower, 20'000)}, "key \"normalizer.normalizers.64\"");
  // Nested, they count all the same.
  test::refused({.normalizer = steps_of(steps_of(lower, 33), 2)}, "more than 64 steps");
}

TEST(Normalizers, ADecoderCannotMakeATokenManyTimesAsLong) {
  const std::string step =
      R"({"type":"Replace","pattern":{"String":"a"},"content":")" + std::string(1000, 'a') + "\"}";
  const auto decoder = [&](int count) {
    std::string out = R"({"type":"Sequence","decoders":[)";
    for (int i = 0; i < count; ++i) out += step + ",";
    return out + R"({"type":"Fuse"}]})";
  };
  EXPECT_EQ(File{.decoder = decoder(1)}.load().decode(Ids{0}).size(), 1000u);
  const BpeTokenizer two = File{.decoder = decoder(2)}.load();
  expect_error(ErrorKind::corrupt, "key \"decoder\": it makes more than 1056 bytes",
               [&] { two.decode(Ids{0}); });
  EXPECT_EQ(two.decode(Ids{1}), "b");
  test::refused({.decoder = decoder(9)}, "more than 8 replacements");
}

// What stands for a space, or is taken off, is one character: a long one would multiply a text.
TEST(Normalizers, CharactersOfAFileAreSingleOnes) {
  const std::string two = R"("xy")", empty = R"("")";
  for (const std::string& text : {two, empty, R"("\u2581\u2581")"s}) {
    test::refused({.pre = R"({"type":"Metaspace","replacement":)" + text + "}"},
                  "key \"pre_tokenizer.replacement\": expected a single character");
    test::refused({.decoder = R"({"type":"Metaspace","replacement":)" + text + "}"},
                  "key \"decoder.replacement\": expected a single character");
    test::refused({.decoder = R"({"type":"Sequence","decoders":[{"type":"Fuse"},
                                {"type":"Strip","start":1,"stop":0,"content":)" +
                              text + "}]}"},
                  "expected a single character");
  }
}

TEST(Template, HasFewTokens) {
  std::string tokens;
  for (int i = 0; i < 64; ++i) tokens += R"({"SpecialToken":{"id":"a","type_id":0}},)";
  const auto file = [](const std::string& items) {
    return File{.post = R"({"type":"TemplateProcessing","single":[)" + items +
                        R"({"Sequence":{"id":"A","type_id":0}}],"pair":[],
                           "special_tokens":{"a":{"id":"a","ids":[0],"tokens":["a"]}}})"};
  };
  EXPECT_EQ(file(tokens).load().encode("b", true).size(), 65u);
  test::refused(file(tokens + tokens), "more than 64 tokens");
}

// A tokenizer that cannot take a text is at fault, not the text.
TEST(Tokenizer, ErrorsNameItsFile) {
  test::TempFolder folder;
  const auto load = [&](const File& file) {
    test::put_file(folder / "tokenizer.json", file.text());
    return load_tokenizer(folder.path());
  };
  const auto slow =
      load({.pre = R"({"type":"Split","behavior":"Isolated","pattern":{"Regex":"(a+)+\\d"}})"});
  const std::string file = folder / "tokenizer.json";
  expect_error(ErrorKind::unsupported, file + ": key \"pre_tokenizer\": the pattern",
               [&] { slow->encode(std::string(3000, 'a'), false); });
  const auto long_one = load({.normalizer = steps_of(kTimesTen, 9)});
  expect_error(ErrorKind::corrupt, file + ": key \"normalizer\": it makes",
               [&] { long_one->encode("aaaa", false); });
  const std::vector<TextPart> parts{{"aaaa"}};
  expect_error(ErrorKind::corrupt, file + ": key \"normalizer\"",
               [&] { long_one->encode_parts(parts); });
}

}  // namespace
}  // namespace nibble
