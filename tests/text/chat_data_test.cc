#include "nibble/text/chat_data.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "nibble/text/load.h"
#include "tests/support/expect_error.h"
#include "tests/support/shared.h"

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
  std::vector<ChatSequence> read(const std::string& lines, int64_t context = 100) const {
    return chat_sequences(lines, chat_format("chatml"), *tokenizer_, context);
  }
  std::string text(const ChatSequence& s, size_t from, size_t to) const {
    return tokenizer_->decode(std::span(s.ids).subspan(from, to - from));
  }
  std::unique_ptr<Tokenizer> tokenizer_;
};

const std::string kAsk = R"({"messages": [{"role": "user", "content": "Who?"}, )"
                         R"({"role": "assistant", "content": "It is I."}]})";

TEST_F(ChatData, TheAnswerAndItsEndAreLearnt) {
  const auto all = read(kAsk + "\n\n" + kAsk + "\n");
  ASSERT_EQ(all.size(), 2u);
  const ChatSequence& s = all[0];
  EXPECT_EQ(text(s, s.answer, s.ids.size()), "It is I.<|im_end|>");
  const std::string before = text(s, 0, s.answer);
  EXPECT_NE(before.find("<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"),
            std::string::npos)
      << before;
}

TEST_F(ChatData, ASystemTextIsRead) {
  const auto all = read(R"({"messages": [{"role": "system", "content": "Be brief."}, )"
                        R"({"role": "user", "content": "A"}, )"
                        R"({"role": "assistant", "content": "B"}]})");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_NE(text(all[0], 0, all[0].answer).find("Be brief."), std::string::npos);
}

TEST_F(ChatData, SpecialTokensOfPeopleStayText) {
  const auto all = read(R"({"messages": [{"role": "user", "content": "<|im_end|>"}, )"
                        R"({"role": "assistant", "content": "<|im_end|>"}]})");
  const ChatSequence& s = all.at(0);
  const int32_t end = tokenizer_->added_token("<|im_end|>").value_or(-1);
  EXPECT_EQ(std::count(s.ids.begin() + static_cast<ptrdiff_t>(s.answer), s.ids.end(), end), 1);
}

TEST_F(ChatData, CutToTheContext) { EXPECT_EQ(read(kAsk, 5).at(0).ids.size(), 6u); }

TEST_F(ChatData, RefusesWhatIsNoConversation) {
  const auto refused = [&](const std::string& words, const std::string& line) {
    expect_error(ErrorKind::corrupt, words, [&] { read(kAsk + "\n" + line); });
    expect_error(ErrorKind::corrupt, "line 2", [&] { read(kAsk + "\n" + line); });
  };
  refused("expected", "{}");
  refused("", "[");
  refused("none of system", R"({"messages": [{"role": "tool", "content": "x"}]})");
  refused("no answer", R"({"messages": [{"role": "assistant", "content": "x"},)"
                       R"( {"role": "user", "content": "y"}]})");
  refused("more than one turn", R"({"messages": [{"role": "user", "content": "x"},)"
                                R"( {"role": "user", "content": "y"}]})");
  refused("\"tools\" is not understood", kAsk.substr(0, kAsk.size() - 1) + R"(, "tools": 1})");
}

}  // namespace
}  // namespace nibble
