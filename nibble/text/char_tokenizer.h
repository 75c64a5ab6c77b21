// The tokenizer of microGPT: one token a character, plus (for line data) BOS, used at both ends.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/text/tokenizer.h"

namespace nibble {

/// Characters are Unicode code points in ascending order (as sorted(set(text)) in Python), ids
/// 0..n-1; BOS, where there is one, is n.
class CharTokenizer : public Tokenizer {
 public:
  /// All characters of `text` (line breaks not counted where `with_bos`, that is for line data).
  /// Error{corrupt} with the byte offset where the text is not UTF-8.
  static CharTokenizer from_text(std::string_view text, bool with_bos);
  CharTokenizer(std::vector<char32_t> characters, bool with_bos);

  int32_t vocab_size() const override;
  std::optional<int32_t> bos() const override;
  /// BOS as well: it stands at both ends of a line.
  std::optional<int32_t> eos() const override { return bos(); }
  SpecialEdges edges() const override;
  bool is_special(int32_t id) const override { return bos() == id; }
  std::string token_text(int32_t id) const override;
  std::string_view kind() const override { return "characters"; }
  /// Error{invalid_argument} naming a character that the model does not know.
  std::vector<int32_t> encode(std::string_view text) const;
  /// The same behind BOS, where there is one and `add_special`.
  std::vector<int32_t> encode(std::string_view text, bool add_special) const override;
  std::vector<int32_t> encode_parts(std::span<const TextPart> parts) const override;
  void append_piece(int32_t id, DecodeState& state, std::string& out) const override;
  /// BOS decodes to nothing, and so does an id behind the vocabulary.
  std::string decode(std::span<const int32_t> ids) const;

  /// tokenizer.json of nibble's own kind for character models: {"type": "nibble.characters",
  /// "characters": [...]}.
  std::string to_json() const;
  static CharTokenizer from_json(std::string_view json);

 private:
  std::vector<char32_t> characters_;
  bool with_bos_;
};

}  // namespace nibble
