// How an error is told: one line for people, or one object for machines; both on stderr.
#pragma once

#include <string>

#include "nibble/core/error.h"

namespace nibble::cli {

/// "nibble: error[65]: FILE: WHERE: REASON" and a line's end, safe for a terminal; with `json` the
/// same fields as one object.
std::string error_text(const Error& error, bool json);

/// Tells it; returns its exit code.
int fail(const Error& error, bool json);

/// A text of several lines as one.
std::string first_line(std::string text);

}  // namespace nibble::cli
