// A tokenizer.json of a few tokens, each section to be replaced.
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "nibble/text/load.h"
#include "tests/support/expect_error.h"

namespace nibble::test {

struct TokenizerJsonText {
  std::string vocab = R"({"a":0,"b":1,"ab":2,"<unk>":3})";
  std::string merges = R"(["a b"])";
  std::string model = R"("unk_token":"<unk>")";
  std::string added = "[]", normalizer = "null", pre = "null", post = "null";
  std::string decoder = R"({"type":"Fuse"})";
  std::string type = "BPE", more = "";

  std::string text() const {
    return "{" + more + R"("added_tokens":)" + added + R"(,"normalizer":)" + normalizer +
           R"(,"pre_tokenizer":)" + pre + R"(,"post_processor":)" + post + R"(,"decoder":)" +
           decoder + R"(,"model":{"type":")" + type + "\"," + model + R"(,"vocab":)" + vocab +
           R"(,"merges":)" + merges + "}}";
  }
  BpeTokenizer load() const { return BpeTokenizer(parse_tokenizer_json(text())); }
};

/// tokenizer.json of bytes: "a", "b", ... are tokens, and "ab".
inline std::string bytes_json(const std::string& pre, const std::string& normalizer = "null",
                              const std::string& model = R"("ignore_merges":false)",
                              const std::string& added = "[]", const std::string& post = "null") {
  TokenizerJsonText file;
  file.vocab = "{";
  for (char c = 'a'; c <= 'z'; ++c) {
    file.vocab += fmt::format("\"{}\":{},", c, c - 'a');
  }
  file.vocab += R"("ab":26})";
  file.model = model, file.normalizer = normalizer, file.added = added, file.post = post;
  file.pre = pre, file.decoder = R"({"type":"ByteLevel"})";
  return file.text();
}

inline void refused(const TokenizerJsonText& file, std::string_view words) {
  expect_error(test::bad_file(), words, [&] { file.load(); });
}

}  // namespace nibble::test
