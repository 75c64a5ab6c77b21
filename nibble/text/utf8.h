// Text as code points. UTF-8 is checked as nibble/core/utf8.h says.
#pragma once

#include <string>
#include <string_view>

#include "nibble/core/utf8.h"

namespace nibble {

/// The code point at the beginning of `text`, which it takes off; `whole` is the text that `text`
/// is a part of, for the byte offset in Error{corrupt}.
char32_t take_code_point(std::string_view& text, std::string_view whole);

/// All code points of a text.
std::u32string decode_utf8(std::string_view text);

void append_utf8(std::string& out, char32_t code_point);

/// `text` with U+FFFD for each maximal part that is not UTF-8 (Unicode 15, section 3.9,
/// "substitution of maximal subparts").
std::string repaired_utf8(std::string_view text);

/// The length of the unfinished character at the end of `text`: a beginning that further bytes can
/// still complete. 0 where there is none.
size_t unfinished_utf8(std::string_view text);

}  // namespace nibble
