// The tokenizer of a GGUF file: what its metadata says ("tokenizer.ggml.*"), and what it means. The
// file itself is read and written elsewhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/bpe_tokenizer.h"

namespace nibble {

/// The keys, each as "tokenizer.ggml." with the name in the comment; absent ones are empty.
struct GgufVocabulary {
  std::string model;  ///< model: "gpt2", "gemma4" (BPE), "llama" (SentencePiece's BPE)
  std::string pre;    ///< pre: how a text is cut into words
  std::vector<std::string> tokens;       ///< tokens: spelled as in the vocabulary, by id
  std::vector<int32_t> token_types;      ///< token_type: a TokenType each
  std::vector<float> scores;             ///< scores: of SentencePiece
  std::vector<std::string> merges;       ///< merges: "a b", the first goes first
  std::optional<int64_t> bos, eos;       ///< bos_token_id, eos_token_id
  std::optional<int64_t> eot, eom;       ///< eot_token_id, eom_token_id: they end a text, too
  std::optional<int64_t> unknown;        ///< unknown_token_id
  std::optional<int64_t> padding, mask;  ///< padding_token_id, mask_token_id
  std::optional<bool> add_bos, add_eos;  ///< add_bos_token, add_eos_token
  std::optional<bool> add_space_prefix;  ///< add_space_prefix
  std::optional<bool> remove_extra_whitespaces;  ///< remove_extra_whitespaces
  std::vector<int64_t> ends;                     ///< eog_token_ids: more that end a text
  /// "general.name" as it stands: special tokens of Phi-3 take the white space behind them along,
  /// and only its name tells that.
  std::string general_name;
};

/// What is likely to cost quality and shows before the tokens are read; empty: nothing.
std::string missing_pre_tokenizer(std::string_view model, std::string_view pre);

/// The tokenizer that the metadata describes, as llama.cpp understands it (src/llama-vocab.cpp),
/// but for what its files cannot say and the model's own tokenizer is known to do: the family's own
/// patterns and NFC. `warnings` gets a line for each thing that is likely to cost quality.
/// Error{unsupported} for a kind of tokenizer or a pre-tokenizer that nibble does not know, by its
/// name; Error{corrupt} for what contradicts itself; both at the key.
BpeParts parse_gguf_vocabulary(const GgufVocabulary& vocabulary,
                               std::vector<std::string>& warnings);

/// The metadata that describes `tokenizer`, so that parse_gguf_vocabulary(), and llama.cpp, make
/// the same ids of texts. `rows` of the embedding: where there are more than tokens, unused ones
/// ("[PAD260]") fill up; tokens without a row are left out. `warnings` gets a line for each thing
/// that GGUF files cannot say and that matters in rare texts only. Error{unsupported} naming what
/// they cannot say otherwise: characters as tokens, a pre-tokenizer without a name, ...
GgufVocabulary gguf_vocabulary(const Tokenizer& tokenizer, int64_t rows,
                               std::vector<std::string>& warnings);

}  // namespace nibble
