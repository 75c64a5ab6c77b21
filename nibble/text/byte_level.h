// The spelling of bytes as characters in byte-level BPE vocabularies (GPT-2's bytes_to_unicode,
// openai/gpt-2 src/encoder.py): printable Latin-1 stands for itself, the other 68 bytes become
// U+0100 and up in order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nibble {

/// The character that spells `byte`.
char32_t byte_level_character(uint8_t byte);
/// `bytes` as a vocabulary spells them.
std::string byte_level_spelling(std::string_view bytes);
/// Appends the bytes that `spelling` stands for; where one of its characters stands for none, the
/// spelling itself.
void append_byte_level(std::string_view spelling, std::string& out);

}  // namespace nibble
