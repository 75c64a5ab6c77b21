// The names that nibble brings along (data/names.txt), so that the demo needs nothing from outside.
#pragma once

#include <string_view>

namespace nibble {

/// One name a line, lower-case a to z.
std::string_view builtin_names();

}  // namespace nibble
