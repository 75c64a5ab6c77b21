// Patterns of tokenizer files, written for Oniguruma, in PCRE2's language.
#pragma once

#include <string>
#include <string_view>

namespace nibble {

/// `pattern` as PCRE2 reads it, or Error{unsupported} where the two languages differ or what it
/// asks for cannot be bounded. A callout "(?C1)" stands before and behind everything that a
/// quantifier repeats, so that a matcher's way through a text can be counted step by step.
std::string pcre2_pattern(std::string_view pattern);

}  // namespace nibble
