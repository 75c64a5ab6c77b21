// What every tokenizer does, and the one way to load one.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {

struct BpeParts;

/// How far a text has been decoded, for what depends on its beginning. Starts as {}.
struct DecodeState {
  bool started = false;  ///< a piece came before
  int stripped = 0;      ///< characters taken off the beginning; -1 when that is over
};

/// A piece of a text to encode.
struct TextPart {
  std::string text;      ///< UTF-8
  bool literal = false;  ///< text of people: special tokens in it stay text
  int32_t id = -1;       ///< this token instead of the text
};

/// The special tokens around a text.
struct SpecialEdges {
  std::vector<int32_t> before, after;
};

/// Text to token ids and back. Immutable once made: any number of threads may use one.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  /// The ids of `text`. Bytes that are not UTF-8 become U+FFFD (character models refuse them).
  /// Special tokens that stand in the text become their ids, as in Hugging Face's tokenizers.
  /// `add_special` adds what the model expects around a text (BOS, for most). Time grows linearly
  /// (n log n within one word) with the text. Error{invalid_argument} for a text over 1 GiB.
  virtual std::vector<int32_t> encode(std::string_view text, bool add_special) const = 0;

  /// The ids of the parts as of one text, words reaching across their borders; nothing is added.
  /// Special tokens are found in parts that are not literal, and in none that reaches across a
  /// border.
  virtual std::vector<int32_t> encode_parts(std::span<const TextPart> parts) const = 0;

  /// The bytes that token `id` adds to a text; they need not be whole characters. An id behind the
  /// vocabulary, as models with more rows than tokens choose now and then, adds nothing.
  /// Error{invalid_argument} for one below 0.
  virtual void append_piece(int32_t id, DecodeState& state, std::string& out) const = 0;
  /// The text of `ids`, always valid UTF-8: what is not becomes U+FFFD. Special tokens show as
  /// their text unless `skip_special`.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  virtual int32_t vocab_size() const = 0;
  virtual std::optional<int32_t> bos() const = 0;
  virtual std::optional<int32_t> eos() const = 0;
  /// Every token that ends a text by what the tokenizer's files say: EOS where there is one, first.
  virtual std::vector<int32_t> ends() const;
  /// What encode() adds around a text.
  virtual SpecialEdges edges() const { return {}; }
  /// The token, special or not, that is found in texts as a whole by this content.
  virtual std::optional<int32_t> added_token(std::string_view /*content*/) const { return {}; }
  /// True for tokens that steer the model and are no text (BOS, EOS, turn markers).
  virtual bool is_special(int32_t id) const = 0;
  /// The token as its vocabulary spells it ("Ġthe", "▁the", "<0x0A>"), for people to look at.
  /// Error{invalid_argument} where the vocabulary has no such id.
  virtual std::string token_text(int32_t id) const = 0;
  /// "characters", "byte-level BPE", "SentencePiece BPE".
  virtual std::string_view kind() const = 0;
  /// What a tokenizer of byte-pair encoding is made of; nullptr of others.
  virtual const BpeParts* bpe_parts() const { return nullptr; }
};

/// Decodes token by token; only whole UTF-8 characters come out.
class StreamDecoder {
 public:
  /// `tokenizer` must outlive it.
  explicit StreamDecoder(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(tokenizer), skip_special_(skip_special) {}
  /// What `id` completes; empty while a character is not whole yet. Bytes that can no longer become
  /// a character come out as U+FFFD.
  std::string push(int32_t id);
  /// What was held back, as U+FFFD; afterwards a new text begins.
  std::string finish();

 private:
  const Tokenizer& tokenizer_;
  bool skip_special_;
  DecodeState state_;
  std::string held_;
};

/// The tokenizer of a model folder, or of one file: the first there is of tokenizer.json (nibble's
/// own for characters; Hugging Face BPE), vocab.json with merges.txt, tokenizer.model
/// (SentencePiece, BPE), tokenizer.bin (llama2.c). tokenizer_config.json beside it, and where it
/// has gaps special_tokens_map.json and added_tokens.json, name special and added tokens and say
/// whether BOS, EOS and a space are put around a text. Error{not_found} where there is none;
/// Error{unsupported} naming whatever the files ask for that nibble does not do: nothing is
/// ignored.
std::unique_ptr<Tokenizer> load_tokenizer(const std::string& path);

}  // namespace nibble
