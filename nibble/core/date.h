// The day, for reports.
#pragma once

#include <string>

namespace nibble {

/// Today in UTC, "2026-11-22".
std::string today();

}  // namespace nibble
