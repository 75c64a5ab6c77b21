// One loader a file format; load_tokenizer() chooses. Callers name the file in errors.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/bpe_tokenizer.h"
#include "nibble/text/tokenizer.h"
#include "nibble/text/tokenizer_config.h"

namespace nibble {

/// Hugging Face's tokenizer.json with a BPE model. Of the config only what says that a space is
/// put before a text or not.
BpeParts parse_tokenizer_json(std::string_view json, const TokenizerConfig& config = {});
/// GPT-2's pair of files: the tokens, then the merges, one a line. The config's class says which
/// pre-tokenizer: GPT-2's where it is absent.
TokenTable parse_vocab(std::string_view json);
BpeParts parse_merges(TokenTable tokens, std::string_view merges, const TokenizerConfig& config);
/// SentencePiece's model file (sentencepiece_model.proto), BPE only. The config says whether a
/// space is put before a text, and behind special tokens (`legacy`).
BpeParts parse_sentencepiece(std::span<const std::byte> bytes, const TokenizerConfig& config = {});
/// llama2.c's tokenizer.bin (run.c, build_tokenizer): i32 longest token, then for each token f32
/// score, i32 length, bytes, up to the end of the file.
BpeParts parse_llama2c_tokenizer(std::span<const std::byte> bytes);

/// Merges of a vocabulary with scores: two symbols whose texts together are a token become that
/// token, the highest score first (SentencePiece, bpe_model.cc). `scores` by id; tokens that are
/// not `mergeable` take no part.
void merges_from_scores(std::span<const float> scores, const std::vector<bool>& mergeable,
                        BpeParts& parts);
/// SentencePiece's stand-in for a space.
inline constexpr std::string_view kSpaceMark = "\u2581";
/// Spaces are marks inside, and spaces again in what is decoded. `prefix`: a space is put before a
/// text and taken off again; `each_part`: also before each part between special tokens.
void use_space_marks(bool prefix, bool each_part, BpeParts& parts);
/// `mark` where no token has it behind something else, else empty: see BpeParts::cut_before.
std::string safe_cut(const TokenTable& tokens, std::string_view mark);

}  // namespace nibble
