// What a file is that is not what it should be: for messages that say what to do.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "nibble/core/error.h"

namespace nibble {

/// The error to give where `bytes`, the beginning of a file, are those of something well known that
/// is not `expected` ("safetensors"): a Git LFS pointer, a web page, a zip or pickle container
/// (never opened: a pickle runs code), gzip, HDF5, NumPy, GGUF, JSON. Nothing where they are not
/// recognised.
std::optional<Error> recognise_other(std::span<const std::byte> bytes, std::string_view expected);

/// Throws that error for a file that should hold text or JSON, "a tokenizer"; JSON passes.
void refuse_other_text(std::string_view text, std::string_view expected);

}  // namespace nibble
