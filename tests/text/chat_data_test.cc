#include "nibble/text/chat_data.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "nibble/text/chat_formats.h"
#include "nibble/text/load.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"
#include "tests/support/temp_folder.h"

namespace nibble {
namespace {

using test::expect_error;

const std::string kQwenTokenizer = "../shared/data/tokenizers/qwen2";

class ChatData : public testing::Test {
 protected:
  void SetUp() override {
    if (test::lacks_shared(kQwenTokenizer)) GTEST_SKIP() << kQwenTokenizer;
    tokenizer_ = load_tokenizer(kQwenTokenizer);
  }
  std::vector<ChatSequence> read(const std::string& lines, int64_t context = 100,
                                 const std::string& source = chat_format("chatml")) const {
    const ChatTemplate chat(source, *tokenizer_, template_time("2024-07-26"));
    return chat_sequences(lines, chat, *tokenizer_, context);
  }
  std::string text(const ChatSequence& s, size_t from, size_t to) const {
    return tokenizer_->decode(std::span(s.ids).subspan(from, to - from));
  }
  // What is learnt, answer by answer.
  std::vector<std::string> learnt(const ChatSequence& s) const {
    std::vector<std::string> out;
    for (const auto& [begin, end] : s.answers) out.push_back(text(s, begin, end));
    return out;
  }
  std::unique_ptr<Tokenizer> tokenizer_;
};

using Texts = std::vector<std::string>;

const std::string kAsk = R"({"messages": [{"role": "user", "content": "Who?"}, )"
                         R"({"role": "assistant", "content": "It is I."}]})";
const std::string kAskTwice =
    R"({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "A"}, )"
    R"({"role": "assistant", "content": "<think>\nb\n</think>\n\nOne."}, )"
    R"({"role": "user", "content": "C"}, {"role": "assistant", "content": "Two."}]})";

TEST_F(ChatData, TheAnswerAndItsEndAreLearnt) {
  const auto all = read(kAsk + "\n\n" + kAsk + "\n");
  ASSERT_EQ(all.size(), 2u);
  const ChatSequence& s = all[0];
  EXPECT_EQ(learnt(s), Texts{"It is I.<|im_end|>"});
  const std::string before = text(s, 0, s.answers[0].first);
  EXPECT_NE(before.find("<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"),
            std::string::npos)
      << before;
}

TEST_F(ChatData, OfEveryTurn) {
  const auto all = read(kAskTwice);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(learnt(all[0]), (Texts{"<think>\nb\n</think>\n\nOne.<|im_end|>", "Two.<|im_end|>"}));
  EXPECT_NE(text(all[0], 0, all[0].answers[0].first).find("Be brief."), std::string::npos);
}

// The same format without {% generation %}: what an answer adds.
const std::string kPlainChatml =
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

TEST_F(ChatData, OfATemplateThatMarksNoAnswers) {
  for (const std::string& line : {kAsk, kAskTwice}) {
    const auto marked = read(line), plain = read(line, 100, kPlainChatml);
    ASSERT_EQ(plain.size(), 1u);
    EXPECT_EQ(plain[0].ids, marked[0].ids);
    EXPECT_EQ(plain[0].answers, marked[0].answers);
  }
}

// Where the thinking of earlier answers is left out, each answer is learnt as the model will see
// it.
TEST_F(ChatData, ATemplateThatLooksBackMakesSequencesOfTheirOwn) {
  const std::string forgetful =
      "{% for m in messages %}{% set text = m.content %}{% if not loop.last and '</think>' in text "
      "%}{% set text = text.split('</think>')|last|trim %}{% endif %}{{ '<|im_start|>' + m.role + "
      "'\\n' + text + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}"
      "{{ '<|im_start|>assistant\\n' }}{% endif %}";
  const auto all = read(kAskTwice, 100, forgetful);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(learnt(all[0]), Texts{"<think>\nb\n</think>\n\nOne.<|im_end|>"});
  EXPECT_EQ(learnt(all[1]), Texts{"Two.<|im_end|>"});
  EXPECT_EQ(text(all[1], 0, all[1].answers[0].first).find("think"), std::string::npos);
}

TEST_F(ChatData, WhereATemplateWritesNoEndTheTokenizersIsLearnt) {
  const test::TempFolder folder;
  std::filesystem::create_symlink(std::filesystem::absolute(kQwenTokenizer + "/tokenizer.json"),
                                  folder / "tokenizer.json");
  test::put_file(folder / "tokenizer_config.json", R"({"eos_token": "<|im_end|>"})");
  tokenizer_ = load_tokenizer(folder.path());
  const auto all = read(kAsk, 100, "{% for m in messages %}{{ m.content }}{% endfor %}");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(learnt(all[0]), Texts{"It is I.<|im_end|>"});
}

// Found by the fuzzer: a template that writes nothing of the messages.
TEST_F(ChatData, ATemplateMayLeaveAnswersOut) {
  for (const char* source : {"", "x", "{% generation %}{% endgeneration %}",
                             "{% for m in nobody %}{{ m.content }}{% endfor %}"}) {
    const auto all = read(kAsk, 100, source);
    ASSERT_EQ(all.size(), 1u) << source;
    EXPECT_TRUE(all[0].answers.empty()) << source;
  }
}

TEST_F(ChatData, SpecialTokensOfPeopleStayText) {
  const auto all = read(R"({"messages": [{"role": "user", "content": "<|im_end|>"}, )"
                        R"({"role": "assistant", "content": "<|im_end|>"}]})");
  const ChatSequence& s = all.at(0);
  const int32_t end = tokenizer_->added_token("<|im_end|>").value_or(-1);
  EXPECT_EQ(
      std::count(s.ids.begin() + static_cast<ptrdiff_t>(s.answers[0].first), s.ids.end(), end), 1);
}

TEST_F(ChatData, CutToTheContext) {
  EXPECT_EQ(read(kAsk, 5).at(0).ids.size(), 6u);
  EXPECT_EQ(read(kAsk, 5).at(0).answers.size(), 0u);
  const auto whole = read(kAskTwice).at(0);
  const auto cut = read(kAskTwice, static_cast<int64_t>(whole.answers[1].first)).at(0);
  ASSERT_EQ(cut.answers.size(), 2u);
  EXPECT_EQ(cut.answers[1], std::pair(whole.answers[1].first, whole.answers[1].first + 1));
}

TEST_F(ChatData, OtherKeysAreVariables) {
  const auto all =
      read(kAsk.substr(0, kAsk.size() - 1) + R"(, "mark": "!"})", 100, "{{ mark }}" + kPlainChatml);
  EXPECT_TRUE(text(all.at(0), 0, 3).starts_with("!<|im_start|>"));
}

TEST_F(ChatData, RefusesWhatIsNoConversation) {
  const auto refused = [&](const std::string& words, const std::string& line) {
    expect_error(ErrorKind::corrupt, words, [&] { read(kAsk + "\n" + line); });
    expect_error(ErrorKind::corrupt, "line 2", [&] { read(kAsk + "\n" + line); });
  };
  refused("expected", "{}");
  refused("", "[");
  refused("no answer", R"({"messages": []})");
  refused("no answer", R"({"messages": [{"role": "assistant", "content": "x"},)"
                       R"( {"role": "user", "content": "y"}]})");
  refused("has no attribute 'content'", R"({"messages": [{"role": "assistant"}]})");
}

}  // namespace
}  // namespace nibble
