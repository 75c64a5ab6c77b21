// The keys of config.json that no reader asks for: those that change nothing, those that would, and
// those that nobody here knows.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/json.h"

namespace nibble {

/// To be called once everything that a model of this type is made of has been read from `fields`.
/// Passes over keys that are known to change nothing (`harmless` and those of every model) and
/// those with the value that means what nibble does anyway. Error{unsupported} names a key that
/// changes what is computed. All others become one warning, a line.
std::vector<std::string> check_other_keys(const JsonFields& fields, std::string_view model_type,
                                          std::span<const std::string_view> harmless);

}  // namespace nibble
