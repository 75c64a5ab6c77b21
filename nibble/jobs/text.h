// A text that a job trains or measures on.
#pragma once

#include <string>

#include "nibble/text/builtin_names.h"

namespace nibble {

struct Text {
  std::string name;  ///< for messages and reports: its path, "built-in names"
  std::string text;
};

/// The names that nibble brings along.
inline Text names_text() { return {"built-in names", std::string(builtin_names())}; }

}  // namespace nibble
