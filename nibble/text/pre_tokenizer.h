// Cuts a normalized text into the words that byte-pair encoding works on.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/regex.h"

namespace nibble {

/// What becomes of the parts that a pattern matches (Hugging Face's SplitDelimiterBehavior).
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// GPT-2's pattern (openai/gpt-2, src/encoder.py) and Qwen2's, for files that only name them.
inline constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
inline constexpr std::string_view kQwen2Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";

/// Cuts each of the parts it is given.
struct Splitter {
  Regex pattern;
  SplitBehavior behavior = SplitBehavior::isolated;
  bool invert = false;  ///< what does not match counts as matched

  /// Replaces `parts` (ranges of `text`) by what becomes of them.
  void apply(std::string_view text, std::vector<TextRange>& parts, RegexScratch& regex) const;
};

/// Whether a space is put before a text.
enum class PrefixSpace { never, first, always };

struct PreTokenizer {
  /// Before all cutting: every space becomes this; empty where spaces stay.
  std::string space;
  PrefixSpace prefix = PrefixSpace::never;
  std::vector<Splitter> splitters;

  /// The text that is cut: spaces and prefix as said. `first`: it begins the whole text.
  std::string prepared(std::string text, bool first) const;
  /// The words of a prepared text, none of them empty.
  std::vector<TextRange> split(std::string_view text, RegexScratch& regex) const;
};

}  // namespace nibble
