// The text that a verb trains or measures on.
#pragma once

#include <string>

#include "nibble/jobs/text.h"

namespace nibble::cli {

/// The file at `path` (- is standard input); the names that nibble brings along where `path` is
/// empty.
Text load_text(const std::string& path);

}  // namespace nibble::cli
