// The pre-tokenizers that a GGUF file can name.
#pragma once

#include <span>
#include <string_view>

#include "nibble/text/pre_tokenizer.h"

namespace nibble {

struct GgufPreTokenizer {
  std::string_view name;  ///< "tokenizer.ggml.pre"
  /// Each cuts what the ones before it left: its matches, and what lies between them.
  std::span<const std::string_view> patterns;
  bool whole_words;  ///< a word that is a token stays whole (BpeParts::ignore_merges)
  bool add_bos;      ///< where the file does not say whether BOS is added
  bool nfc;          ///< the family normalizes texts; the file cannot say so
  bool characters;   ///< symbols are characters, spaces are marks; else symbols are bytes
};

/// All of them, aliases included.
std::span<const GgufPreTokenizer> gguf_pre_tokenizers();
/// nullptr where none has that name.
const GgufPreTokenizer* find_gguf_pre_tokenizer(std::string_view name);
/// The first that cuts bytes as the splitters do (their patterns are the same but for spellings
/// that match alike) and has these traits; nullptr where none does.
const GgufPreTokenizer* gguf_pre_tokenizer_like(std::span<const Splitter> splitters,
                                                bool whole_words, bool nfc);

}  // namespace nibble
