// Merges as files have them, by the texts of their tokens, on their way to a MergeTable.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/text/merge_table.h"
#include "nibble/text/token_table.h"

namespace nibble {

/// The texts of merges, left and right next to each other, until the vocabulary is complete.
struct MergeTexts {
  struct Pair {
    uint32_t begin, middle, end;
  };
  std::string arena;
  std::vector<Pair> pairs;

  /// Error{corrupt} for more than 2,097,152.
  void add(std::string_view left, std::string_view right);
};

/// The two parts of "a b". Error{corrupt} where it is anything else.
std::pair<std::string_view, std::string_view> merge_halves(std::string_view line);

/// Each merge's two tokens and the one they become, its rank being its place. Error{corrupt} at
/// `place` where one is not in the vocabulary.
void enter_merges(const MergeTexts& texts, const TokenTable& tokens, std::string_view place,
                  MergeTable& out);

}  // namespace nibble
