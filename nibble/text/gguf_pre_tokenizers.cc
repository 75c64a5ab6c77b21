#include "nibble/text/gguf_pre_tokenizers.h"

#include <algorithm>
#include <array>

#include "nibble/text/pre_tokenizer.h"

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

}  // namespace

std::span<const GgufPreTokenizer> gguf_pre_tokenizers() { return kGgufPreTokenizers; }

const GgufPreTokenizer* find_gguf_pre_tokenizer(std::string_view name) {
  const auto* const found =
      std::find_if(std::begin(kGgufPreTokenizers), std::end(kGgufPreTokenizers),
                   [&](const GgufPreTokenizer& row) { return row.name == name; });
  return found == std::end(kGgufPreTokenizers) ? nullptr : found;
}

}  // namespace nibble
