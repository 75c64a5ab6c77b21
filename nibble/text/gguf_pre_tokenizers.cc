#include "nibble/text/gguf_pre_tokenizers.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "nibble/text/normalizer.h"

namespace nibble {
namespace {

enum GgufTrait : unsigned { kPlain = 0, kWholeWords = 1, kAddBos = 2, kNfc = 4, kCharacters = 8 };

using GgufPatterns = std::array<std::string_view, 6>;

#define NIBBLE_GGUF_SPLITS(id, ...) constexpr GgufPatterns kGgufSplits_##id = {__VA_ARGS__};
#define NIBBLE_GGUF_PRE(name, id, traits)
#include "nibble/text/gguf_pre_tokenizers.inc"
#undef NIBBLE_GGUF_SPLITS
#undef NIBBLE_GGUF_PRE

constexpr GgufPreTokenizer gguf_row(std::string_view name, const GgufPatterns& patterns,
                                    unsigned traits) {
  size_t used = 0;
  while (used < patterns.size() && !patterns[used].empty()) ++used;
  return {name,
          {patterns.data(), used},
          (traits & kWholeWords) != 0,
          (traits & kAddBos) != 0,
          (traits & kNfc) != 0,
          (traits & kCharacters) != 0};
}

#define NIBBLE_GGUF_SPLITS(id, ...)
#define NIBBLE_GGUF_PRE(name, id, traits) gguf_row(name, kGgufSplits_##id, traits),
constexpr GgufPreTokenizer kGgufPreTokenizers[] = {
#include "nibble/text/gguf_pre_tokenizers.inc"
};
#undef NIBBLE_GGUF_SPLITS
#undef NIBBLE_GGUF_PRE

// Spellings in use that match the same: of one choice, of repeats that what follows never takes
// back, of white space up to the last line break.
constexpr std::pair<std::string_view, std::string_view> kSameMatches[] = {
    {"\r", R"(\r)"},
    {"\n", R"(\n)"},
    {"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", "(?i:'s|'t|'re|'ve|'m|'ll|'d)"},
    {"'(?i:[sdmt]|ll|ve|re)", "(?i:'s|'t|'re|'ve|'m|'ll|'d)"},
    {R"([^\r\n\p{L}\p{N}]?+\p{L}+)", R"([^\r\n\p{L}\p{N}]?\p{L}+)"},
    {R"( ?[^\s\p{L}\p{N}]++)", R"( ?[^\s\p{L}\p{N}]+)"},
    {R"(\p{N}{1}|)", R"(\p{N}|)"},
    {R"(|\s*[\r\n]|)", R"(|\s*[\r\n]+|)"},
};

std::string plainly_spelled(std::string_view pattern) {
  std::string out(pattern);
  for (const auto& [from, to] : kSameMatches) out = replaced(out, from, to, most_grown(out.size()));
  return out;
}

// The pattern whose matches, and what lies between them, are the words; empty where there is none.
std::string isolated_pattern(const Splitter& splitter) {
  std::string pattern = plainly_spelled(splitter.pattern.pattern());
  // What no match covers is white space without an end: nothing is removed.
  const bool covers = pattern.ends_with(R"(|\s+(?!\S)|\s+)");
  if (splitter.invert) {
    return splitter.behavior == SplitBehavior::removed && covers ? pattern : "";
  }
  if (splitter.behavior == SplitBehavior::isolated) return pattern;
  const bool digits = splitter.behavior == SplitBehavior::contiguous && pattern == R"(\p{N})";
  return digits ? pattern + '+' : "";
}

bool cuts_alike(const GgufPreTokenizer& row, std::span<const Splitter> splitters) {
  return std::equal(row.patterns.begin(), row.patterns.end(), splitters.begin(), splitters.end(),
                    [](std::string_view pattern, const Splitter& splitter) {
                      return plainly_spelled(pattern) == isolated_pattern(splitter);
                    });
}

}  // namespace

std::span<const GgufPreTokenizer> gguf_pre_tokenizers() { return kGgufPreTokenizers; }

const GgufPreTokenizer* find_gguf_pre_tokenizer(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kGgufPreTokenizers), std::end(kGgufPreTokenizers),
                   [&](const GgufPreTokenizer& row) { return row.name == name; });
  return found == std::end(kGgufPreTokenizers) ? nullptr : found;
}

const GgufPreTokenizer* gguf_pre_tokenizer_like(std::span<const Splitter> splitters,
                                                bool whole_words, bool nfc) {
  for (const GgufPreTokenizer& row : kGgufPreTokenizers) {
    if (row.characters || row.whole_words != whole_words || row.nfc != nfc) continue;
    if (cuts_alike(row, splitters)) return &row;
  }
  return nullptr;
}

}  // namespace nibble
