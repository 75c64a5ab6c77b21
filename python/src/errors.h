// Errors of nibble as exceptions of Python: one of the two places where they are caught.
#pragma once

#include <string>
#include <string_view>

namespace nibble::python {

/// Options as keyword arguments spell them: `max_memory` (the library's field) and --max-memory
/// (the command's flag) as max_memory. What stands in double quotes, names from outside, and
/// command lines in backticks stay as they are.
std::string in_keywords(std::string_view text);

/// From now on errors become exceptions of nibble._errors.
void translate_errors();

}  // namespace nibble::python
