// Texts cut, searched and put together again, for filters and methods.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "nibble/text/jinja_text.h"

namespace nibble::jinja {

using ByteRange = std::pair<size_t, size_t>;  ///< begin and end

/// Where `what` begins in `text` from `from` on, npos where it does not: in linear time, counted.
size_t find_bytes(Meter& meter, std::string_view text, std::string_view what, size_t from = 0);
/// The last one.
size_t find_last_bytes(Meter& meter, std::string_view text, std::string_view what);

/// str.replace(); a negative count is all.
Value replaced(Meter& meter, const Text& text, std::string_view old, const Text& fresh,
               int64_t count);
/// str.split(), at most `most` times (negative: as often as it is there). Error{corrupt} for an
/// empty separator.
std::vector<Value> split_text(Meter& meter, const Text& text, std::string_view separator,
                              int64_t most);
/// The lines of str.splitlines(), without their ends; `ends` has the ends of each with its own.
std::vector<ByteRange> lines_of(Meter& meter, std::string_view text,
                                std::vector<size_t>* ends = nullptr);
/// The same of the text with a line end behind it.
std::vector<ByteRange> lines_with_last(Meter& meter, const Text& text);
/// A capital behind each character of `borders` and at the beginning, small letters elsewhere.
Value titled(Meter& meter, const Text& text, std::string_view borders);
/// Runs of letters and digits.
int64_t words_in(Meter& meter, const Text& text);

}  // namespace nibble::jinja
