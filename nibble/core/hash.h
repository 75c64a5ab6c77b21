// Content hashes that say whether two models are the same (XXH3, 128 bits; not meant against
// forgery).
#pragma once

#include <string>
#include <string_view>

#include "nibble/core/tensor_source.h"

namespace nibble {

/// "xxh3:" and 32 hex digits over every tensor's name, dtype, shape and bytes, in name order: the
/// same for the same weights however they are cut into files.
std::string content_hash(const TensorSource& source);
/// The same over bytes.
std::string bytes_hash(std::string_view bytes);

}  // namespace nibble
