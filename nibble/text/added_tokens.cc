#include "nibble/text/added_tokens.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>

#include "nibble/core/error.h"
#include "nibble/text/utf8.h"

namespace nibble {
namespace {

char32_t first_character(std::string_view text) { return take_code_point(text, text); }

// The beginning of the character that ends at `end`.
size_t character_before(std::string_view text, size_t end) {
  do --end;
  while (end > 0 && (static_cast<unsigned char>(text[end]) >> 6) == 2);
  return end;
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  if (c == 0x85) return true;
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP;
}

// \w of Unicode: letters, marks, digits, connecting punctuation.
bool is_word(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||
         category == UTF8PROC_CATEGORY_PC;
}

bool touches_word(std::string_view text, TextRange at) {
  if (at.begin > 0 && is_word(first_character(text.substr(character_before(text, at.begin))))) {
    return true;
  }
  return at.end < text.size() && is_word(first_character(text.substr(at.end)));
}

}  // namespace

void check_content(const AddedToken& token) {
  if (!token.content.empty() && token.content.size() <= kMaxAddedContent) return;
  throw corrupt(fmt::format("added token {} (id {}): {} bytes long, must be 1 to {}",
                            in_quotes(token.content, 40), token.id, token.content.size(),
                            kMaxAddedContent));
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  for (const AddedToken& token : tokens_) check_content(token);
  const auto by_content = [](const AddedToken& a, const AddedToken& b) {
    return a.content < b.content;
  };
  std::sort(tokens_.begin(), tokens_.end(), by_content);
  const auto twice =
      std::adjacent_find(tokens_.begin(), tokens_.end(),
                         [](const auto& a, const auto& b) { return a.content == b.content; });
  if (twice != tokens_.end()) {
    throw corrupt(fmt::format("added token {} is there twice", in_quotes(twice->content)));
  }
  for (const AddedToken& token : tokens_) {
    ++first_of_byte_[static_cast<unsigned char>(token.content[0]) + size_t{1}];
  }
  for (size_t b = 1; b <= 256; ++b) first_of_byte_[b] += first_of_byte_[b - 1];
}

// Narrows the sorted contents down byte by byte.
const AddedToken* AddedTokens::longest_at(std::string_view text, size_t begin) const {
  const auto byte = static_cast<unsigned char>(text[begin]);
  auto low = tokens_.begin() + first_of_byte_[byte];
  auto high = tokens_.begin() + first_of_byte_[byte + size_t{1}];
  const AddedToken* found = nullptr;
  for (size_t depth = 1; low != high; ++depth) {
    if (low->content.size() == depth) found = &*low++;
    if (begin + depth >= text.size()) break;
    const auto next = static_cast<unsigned char>(text[begin + depth]);
    const auto at = [depth](const AddedToken& t) {
      return static_cast<unsigned char>(t.content[depth]);
    };
    low = std::partition_point(low, high, [&](const AddedToken& t) { return at(t) < next; });
    high = std::partition_point(low, high, [&](const AddedToken& t) { return at(t) == next; });
  }
  return found;
}

void AddedTokens::split(std::string_view text,
                        const std::function<void(TextRange, int32_t)>& visit) const {
  size_t done = 0;
  for (size_t i = 0; i < text.size() && !tokens_.empty();) {
    const AddedToken* token = longest_at(text, i);
    TextRange at{i, i + (token == nullptr ? 1 : token->content.size())};
    i = at.end;
    if (token == nullptr || at.begin < done) continue;
    if (token->single_word && touches_word(text, at)) continue;
    while (token->lstrip && at.begin > done) {
      const size_t before = character_before(text, at.begin);
      if (!is_space(first_character(text.substr(before)))) break;
      at.begin = before;
    }
    while (token->rstrip && at.end < text.size()) {
      const std::string_view rest = text.substr(at.end);
      std::string_view behind = rest;
      if (!is_space(take_code_point(behind, rest))) break;
      at.end += rest.size() - behind.size();
    }
    if (done < at.begin) visit({done, at.begin}, -1);
    visit(at, token->id);
    done = at.end;
  }
  if (done < text.size()) visit({done, text.size()}, -1);
}

}  // namespace nibble
