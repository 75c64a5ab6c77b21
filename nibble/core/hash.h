// Content hashes that say whether two models are the same (XXH3, 128 bits; not meant against
// forgery).
#pragma once

#include <string>

#include "nibble/core/tensor_source.h"

namespace nibble {

/// "xxh3:" and 32 hex digits over every tensor's name, dtype, shape and bytes, in name order: the
/// same for the same weights however they are cut into files.
std::string content_hash(const TensorSource& source);

}  // namespace nibble
