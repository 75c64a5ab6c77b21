// The text that a verb trains or measures on.
#pragma once

#include <string>

namespace nibble::cli {

struct Text {
  std::string name;  ///< for messages: the path, or "built-in names"
  std::string text;
};

/// The file at `path` (- is standard input); the names that nibble brings along where `path` is
/// empty.
Text load_text(const std::string& path);

}  // namespace nibble::cli
