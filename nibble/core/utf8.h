// UTF-8, checked (RFC 3629): no overlong forms, no surrogates, nothing above U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nibble {

/// The length, 1 to 4, of the valid sequence that starts at text[i]; 0 where none does.
size_t utf8_length(std::string_view text, size_t i);

bool is_utf8(std::string_view text);

/// The code point of a sequence that utf8_length() found valid.
uint32_t code_point(std::string_view sequence);

}  // namespace nibble
