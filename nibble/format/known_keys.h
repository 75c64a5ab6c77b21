// Keys of other people's configs: each is read, known to be harmless, or refused by name.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "nibble/core/json.h"

namespace nibble {

struct KnownKey {
  std::string_view name;
  /// What a value would change that nibble does not do ("the rounding of the KV cache"): such a key
  /// may only be null or empty. Nothing: the key is read elsewhere, or changes nothing.
  std::string_view changes = {};
};

/// True where nothing stands at `path`, or null, or an object or array without contents.
bool is_empty(const JsonFields& f, std::string_view path);

/// Looks at every key directly under `path`. Error{unsupported} names one that `known` does not
/// list, or that it says must be empty; an unknown key that is empty says nothing and passes.
void require_known_keys(const JsonFields& f, const std::string& path,
                        std::span<const KnownKey> known);

}  // namespace nibble
