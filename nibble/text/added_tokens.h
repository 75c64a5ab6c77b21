// Tokens that are found in the text as a whole, before anything else cuts it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/regex.h"

namespace nibble {

/// As in Hugging Face's tokenizer.json ("added_tokens").
struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool single_word = false;  ///< only where no letter or digit touches it
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< and the one behind it
  bool normalized = true;    ///< looked for in the normalized text instead of the text as given
  bool special = false;
};

/// Most bytes of a token's content, before and after it is normalized.
constexpr size_t kMaxAddedContent = 256;
/// Error{corrupt} where it is empty or longer.
void check_content(const AddedToken& token);

/// Finds the leftmost, and of those the longest. O(text x longest content), which is at most 256
/// bytes.
class AddedTokens {
 public:
  AddedTokens() = default;
  /// Error{corrupt} for empty or overlong contents and for two that are equal.
  explicit AddedTokens(std::vector<AddedToken> tokens);

  /// Cuts `text` into what no token covers (id -1; never empty) and tokens, in order.
  void split(std::string_view text, const std::function<void(TextRange, int32_t)>& visit) const;
  bool empty() const { return tokens_.empty(); }

 private:
  const AddedToken* longest_at(std::string_view text, size_t begin) const;
  std::vector<AddedToken> tokens_;             // by content
  std::array<uint32_t, 257> first_of_byte_{};  // tokens_ that begin with byte b
};

}  // namespace nibble
