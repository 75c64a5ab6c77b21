// Regular expressions from files, run by PCRE2 under limits.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace nibble {

/// A part of a text, in bytes.
struct TextRange {
  size_t begin, end;
  size_t size() const { return end - begin; }
  bool operator==(const TextRange&) const = default;
};

/// What searches need beside the pattern: one for each text (and thread), for parts of at most
/// `longest` bytes. It counts the steps of all searches together, so that their time grows no
/// faster than the text, whatever the pattern.
class RegexScratch {
 public:
  explicit RegexScratch(size_t longest);
  /// Steps for `bytes` of text that are about to be searched from end to end: 64 for each, beside
  /// the 262,144 of the beginning.
  void allow(size_t bytes);
  ~RegexScratch();
  RegexScratch(const RegexScratch&) = delete;
  RegexScratch& operator=(const RegexScratch&) = delete;

 private:
  friend class Regex;
  struct State;
  std::unique_ptr<State> state_;
};

/// A pattern of a tokenizer file, as Oniguruma (which those files are written for) reads it, or
/// Error{unsupported} where the two languages differ. Unicode everywhere: \s is White_Space.
/// Patterns of at most 4,096 bytes; memory, depth and steps of searches are limited.
class Regex {
 public:
  explicit Regex(std::string_view pattern);
  /// A pattern that matches `text` itself.
  static Regex literal(std::string_view text);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  /// As it was given.
  std::string_view pattern() const;

  /// The first match in valid UTF-8 `text` at or behind byte `from`. Error{unsupported} where the
  /// pattern needs more than the limits, or than `scratch` allows: it is not fit for texts from
  /// outside.
  std::optional<TextRange> search(std::string_view text, size_t from, RegexScratch& scratch) const;

 private:
  struct Compiled;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace nibble
