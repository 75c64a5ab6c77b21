// Text for people: safe to show, measured in columns, cut without breaking a character.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nibble {

/// printable() without a limit.
std::string display_text(std::string_view text);

/// Columns that valid UTF-8 takes on a terminal: 0 for combining marks, 2 for wide characters
/// (Unicode Standard Annex 11), 1 for the rest.
int64_t display_width(std::string_view text);

/// The text cut to `width` columns, its last column "~" where something was cut.
std::string cut_to_width(std::string_view text, int64_t width);

/// The words of `text` in lines of at most `width` columns, each ended; a longer word is cut.
std::string wrap_to_width(std::string_view text, int64_t width);

/// Bytes that both begin with, ending between characters.
size_t common_prefix(std::string_view a, std::string_view b);

}  // namespace nibble
