// A text as its model sees it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

struct TokenizeResult {
  std::string kind;  ///< of the tokenizer
  std::vector<int32_t> ids;
  std::vector<std::string> tokens;  ///< the text of each
};

/// `model`: as resolve_model() takes it, or a tokenizer's file. `special`: with the tokens that the
/// model expects around a text.
TokenizeResult tokenize(const std::string& model, std::string_view text, bool special = true);

}  // namespace nibble
