// Byte-pair encoding, both kinds, described by data: what a tokenizer file says becomes BpeParts.
#pragma once

#include <array>
#include <optional>
#include <utility>

#include "nibble/core/error.h"
#include "nibble/text/added_tokens.h"
#include "nibble/text/merge_table.h"
#include "nibble/text/normalizer.h"
#include "nibble/text/pre_tokenizer.h"
#include "nibble/text/token_table.h"
#include "nibble/text/tokenizer.h"

namespace nibble {

/// How tokens become text again.
struct PieceDecoder {
  bool byte_level = false;     ///< token texts are spelled in GPT-2's byte characters
  bool byte_fallback = false;  ///< "<0x0A>" is a byte
  std::vector<std::pair<std::string, std::string>> replace;  ///< in each token, in order
  std::string strip;               ///< one character, taken off the beginning ...
  int strip_count = 0;             ///< ... up to this often
  bool strip_first_piece = false;  ///< `strip` never appears in the first token (Metaspace)

  /// A token's text with everything replaced; grown_too_long() above `most` bytes.
  std::string replaced_in(std::string piece, size_t most) const;
};

/// Everything a BPE tokenizer is made of.
struct BpeParts {
  std::string file;  ///< they come from, for errors about it
  TokenTable tokens;
  /// Ids from tokens.size() on may appear as well: characters that only stand inside of tokens.
  TokenTable hidden;  ///< ids count from 0 here
  MergeTable merges;
  std::vector<AddedToken> added;
  /// The contents of `normalized` tokens are normalized as well (else they stand as they are).
  bool normalize_added = true;
  bool special_is_no_text = false;  ///< a character that is a special token counts as unknown
  Normalizers normalizers;
  PreTokenizer pre_tokenizer;
  bool byte_level = false;     ///< symbols are bytes (else characters)
  bool byte_fallback = false;  ///< characters that are no token become "<0xNN>" tokens
  std::optional<int32_t> unknown;
  bool fuse_unknown = false;
  bool ignore_merges = false;  ///< a word that is a token stays whole
  /// Where not empty, no token continues behind a character with this text: words may be cut before
  /// it. Only makes long texts fast.
  std::string cut_before;
  PieceDecoder decoder;
  std::vector<int32_t> before, after;  ///< what add_special adds
  std::optional<int32_t> bos, eos;
  std::vector<int32_t> ends;         ///< of a text, beside eos
  std::vector<int32_t> special_ids;  ///< beside the special ones among `added`
  /// Special tokens by the names that templates know them by ("pad_token"), the first of each
  /// counts.
  std::vector<std::pair<std::string, std::string>> named_tokens;
};

/// Runs f; an Error of its own names the file and the section that asks for what went wrong.
template <class F>
auto in_section(std::string_view file, std::string_view section, F f) {
  try {
    return f();
  } catch (Error& e) {
    e.set_file(file);
    throw std::move(e).at("key " + in_quotes(section));
  }
}

class BpeTokenizer : public Tokenizer {
 public:
  /// Error{corrupt} where the parts contradict each other.
  explicit BpeTokenizer(BpeParts parts);

  std::vector<int32_t> encode(std::string_view text, bool add_special) const override;
  std::vector<int32_t> encode_parts(std::span<const TextPart> parts) const override;
  void append_piece(int32_t id, DecodeState& state, std::string& out) const override;
  int32_t vocab_size() const override { return parts_.tokens.size(); }
  std::optional<int32_t> bos() const override { return parts_.bos; }
  std::optional<int32_t> eos() const override { return parts_.eos; }
  std::vector<int32_t> ends() const override;
  SpecialEdges edges() const override { return {parts_.before, parts_.after}; }
  std::optional<int32_t> added_token(std::string_view content) const override;
  bool is_special(int32_t id) const override;
  std::string token_text(int32_t id) const override;
  std::string_view kind() const override {
    return parts_.byte_level ? "byte-level BPE" : "SentencePiece BPE";
  }
  const BpeParts* bpe_parts() const override { return &parts_; }

 private:
  class Encoding;
  void check_id(int32_t id) const;

  BpeParts parts_;
  AddedTokens raw_, normalized_;
  // The same without special tokens; and those, as they stand in a text.
  AddedTokens plain_raw_, plain_normalized_, special_raw_;
  std::vector<bool> special_, added_;    // by id
  std::array<int32_t, 256> byte_ids_{};  // of a byte as a symbol; -1 for none
  bool all_bytes_ = false;               // byte_ids_ has them all
};

}  // namespace nibble
