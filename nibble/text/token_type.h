// What kind of token each entry of a SentencePiece vocabulary is (sentencepiece_model.proto,
// ModelProto.SentencePiece.Type). GGUF's "tokenizer.ggml.token_type" has the same numbers for every
// kind of tokenizer.
#pragma once

#include <cstdint>

namespace nibble {

enum TokenType : int32_t {
  kNormalToken = 1,
  kUnknownToken = 2,
  kControlToken = 3,      ///< special: not found in what people write
  kUserDefinedToken = 4,  ///< found in a text as a whole, before anything is merged
  kUnusedToken = 5,
  kByteToken = 6  ///< "<0x0A>": a byte of a character that is no token
};

}  // namespace nibble
