// Whether writing one path would touch another.
#pragma once

#include <filesystem>
#include <span>
#include <string>

namespace nibble {

/// Whether `inner` is `outer` or lies below it; both absolute and normal.
bool lies_within(const std::filesystem::path& inner, const std::filesystem::path& outer);

/// Throws Error{invalid_argument} where `out` is one of `inputs` (by path, hard link or symbolic
/// link) or lies so that replacing it would remove an input. An input may be a folder: then the
/// files in it are meant as well.
void refuse_same_file(const std::string& out, std::span<const std::string> inputs);

}  // namespace nibble
