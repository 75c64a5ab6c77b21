// Tokenizers that went through another format, and texts that tell whether they came back.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "nibble/text/gguf_vocabulary.h"
#include "nibble/text/load.h"
#include "nibble/text/tokenizer_json.h"
#include "tests/support/temp_folder.h"
#include "tests/text/tokenizer_json.h"

namespace nibble::test {

using Ids = std::vector<int32_t>;
using Names = std::vector<std::string>;
inline const std::string kSharedData = "../shared/data/";

inline Names awkward_texts() {
  return {"",
          " ",
          "\n",
          "  \n\n \t\t x \r\n\r\n y   ",
          "Hello, world! It's 3.14159, isn't IT? WE'LL see; you're 'd'accord'.",
          "1 12 123 1234 12345 1234567890 \u0661\u0662\u0663",
          "\u00e9t\u00e9 e\u0301 \u212b \ufb01n \u0130i \u1e9e",
          "\u4f60\u597d\uff0c\u4e16\u754c\u3002 \u3053\u3093\u306b\u3061\u306f "
          "\uc548\ub155 \u0928\u092e\u0938\u094d\u0924\u0947",
          "\U0001F600\U0001F468\u200D\U0001F469\u200D\U0001F467 \U0001F1E9\U0001F1EA",
          "<s> </s> <unk> <|endoftext|><|im_start|>user\nhi<|im_end|> [PAD5] <0x0A>",
          "camelCase snake_case ALLCAPS a+b==c // {}[]() ##",
          "\u2581marks\u2581here",
          std::string(300, ' ') + "x" + std::string(50, '\n'),
          std::string("nul\0byte", 8),
          "not \xff\xfe UTF-8"};
}

struct RoundTrip {
  explicit RoundTrip(const Tokenizer& from, int32_t more_rows = 7)
      : metadata(gguf_vocabulary(from, from.vocab_size() + more_rows, lost)),
        to(parse_gguf_vocabulary(metadata, warnings)) {
    EXPECT_TRUE(warnings.empty()) << warnings[0];
  }
  Names lost, warnings;
  GgufVocabulary metadata;
  BpeTokenizer to;
};

// tokenizer.json and tokenizer_config.json, read again.
struct AsFolder {
  explicit AsFolder(const BpeTokenizer& from, const TokenizerSettings& settings = {}) {
    const BpeParts& parts = *from.bpe_parts();
    put_file(folder / "tokenizer.json", tokenizer_json(parts, lost));
    put_file(folder / "tokenizer_config.json", tokenizer_config_json(parts, settings));
    tokenizer = load_tokenizer(folder.path());
  }
  const TempFolder folder;
  Names lost;
  std::shared_ptr<const Tokenizer> tokenizer;
};

// `special`: of special tokens in the text as well.
inline void expect_same(const Tokenizer& from, const Tokenizer& to, const std::string& text,
                        bool special) {
  if (text.find('\xff') == std::string::npos) {
    const TextPart part{.text = text, .literal = true};
    EXPECT_EQ(to.encode_parts({&part, 1}), from.encode_parts({&part, 1}));
  }
  if (!special) return;
  const Ids ids = from.encode(text, true);
  ASSERT_EQ(to.encode(text, true), ids) << "text: " << text.substr(0, 200);
  EXPECT_EQ(to.decode(ids), from.decode(ids));
  EXPECT_EQ(to.decode(ids, true), from.decode(ids, true));
}

inline void expect_same_tokens(const Tokenizer& from, const Tokenizer& to, bool all_ends = true) {
  EXPECT_EQ(to.bos(), from.bos());
  EXPECT_EQ(to.kind(), from.kind());
  for (int32_t id = 0; id < from.vocab_size(); ++id) {
    ASSERT_EQ(to.token_text(id), from.token_text(id));
  }
  for (const int32_t id : all_ends ? from.ends() : Ids()) {
    const Ids ends = to.ends();
    EXPECT_NE(std::find(ends.begin(), ends.end(), id), ends.end()) << id;
  }
}

}  // namespace nibble::test
