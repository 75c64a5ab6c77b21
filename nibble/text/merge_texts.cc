#include "nibble/text/merge_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "nibble/core/error.h"

namespace nibble {

void MergeTexts::add(std::string_view left, std::string_view right) {
  constexpr size_t kMost = 1 << 21;
  if (pairs.size() == kMost) throw corrupt(fmt::format("more than {} merges", kMost));
  const auto begin = static_cast<uint32_t>(arena.size());
  arena += left;
  const auto middle = static_cast<uint32_t>(arena.size());
  arena += right;
  NIBBLE_CHECK(arena.size() < ~uint32_t{0});
  pairs.push_back({begin, middle, static_cast<uint32_t>(arena.size())});
}

std::pair<std::string_view, std::string_view> merge_halves(std::string_view line) {
  const size_t space = line.find(' ');
  const bool two = space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
                   line.find(' ', space + 1) == std::string_view::npos;
  if (!two) throw corrupt(fmt::format("merge {}: expected two parts", in_quotes(line)));
  return {line.substr(0, space), line.substr(space + 1)};
}

// Looks the merges up some at a time, so that their memory accesses overlap.
void enter_merges(const MergeTexts& texts, const TokenTable& tokens, std::string_view place,
                  MergeTable& out) {
  constexpr size_t kBatch = 32;
  std::array<std::array<uint64_t, 3>, kBatch> hashes;
  const auto parts_of = [&](const MergeTexts::Pair& p) {
    const std::string_view all(texts.arena);
    return std::array{all.substr(p.begin, p.middle - p.begin),
                      all.substr(p.middle, p.end - p.middle), all.substr(p.begin, p.end - p.begin)};
  };
  for (size_t first = 0; first < texts.pairs.size(); first += kBatch) {
    const size_t n = std::min(kBatch, texts.pairs.size() - first);
    for (size_t i = 0; i < n; ++i) {
      const auto parts = parts_of(texts.pairs[first + i]);
      for (size_t j = 0; j < 3; ++j) tokens.prefetch(hashes[i][j] = tokens.hash(parts[j]));
    }
    for (size_t i = 0; i < n; ++i) {
      const auto parts = parts_of(texts.pairs[first + i]);
      std::array<int32_t, 3> ids{};
      for (size_t j = 0; j < 3; ++j) {
        ids[j] = tokens.find_hashed(parts[j], hashes[i][j]);
        if (ids[j] >= 0) continue;
        throw corrupt(fmt::format("merge {} ({} {}): {} is not in the vocabulary", first + i,
                                  in_quotes(parts[0], 40), in_quotes(parts[1], 40),
                                  in_quotes(parts[j], 40)))
            .at(place);
      }
      out.add(ids[0], ids[1], {static_cast<uint32_t>(first + i), ids[2]});
    }
  }
}

}  // namespace nibble
