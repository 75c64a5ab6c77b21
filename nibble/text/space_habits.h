// What a tokenizer whose symbols are characters does with spaces.
#pragma once

#include <optional>

#include "nibble/text/bpe_tokenizer.h"

namespace nibble {

/// Of one for which spaces are marks, and nothing else is done to a text before it is merged.
struct SpaceHabits {
  bool single = false;  ///< leading and trailing spaces go, runs become one
  bool prefix = false;  ///< one is put before a text
  bool each = true;     ///< and before each part between special tokens
  bool unless = false;  ///< but where there is one already
};

/// Nothing where it does anything else.
std::optional<SpaceHabits> space_habits(const BpeParts& parts);

}  // namespace nibble
