// How the command spells what the library names by its fields (nibble/core/error.h): one table
// searched both ways.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/dtype.h"

namespace nibble::cli {

/// "fewer `threads`" as "fewer --threads". What is no option stays as it is, and so does what
/// stands in double quotes: names from outside.
std::string in_flags(std::string_view text);
std::vector<std::string> in_flags(const std::vector<std::string>& texts);

/// The field that a flag of `nibble quantize` sets: "--damping" sets "damping"; empty where the
/// library speaks of none.
std::string_view field_of(std::string_view flag);

/// What --scale-dtype may say: f16, bf16 or f32. Error{invalid_argument} for anything else.
DType parse_scale_dtype(const std::string& text);

}  // namespace nibble::cli
