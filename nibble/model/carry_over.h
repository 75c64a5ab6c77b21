// What a new model folder takes over from the one it was made of: its config, its tokenizer, how to
// generate with it, its licence.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/core/json.h"

namespace nibble {

/// A config.json with the keys of `original` in their order, but for quantization_config (and
/// MLX's quantization) and `dropped` (a key, or nothing); `add` then writes more keys into the
/// object. Error{corrupt} where `original` is not a JSON object.
std::string carry_config(std::string_view original, const std::function<void(JsonWriter&)>& add,
                         std::string_view dropped = "");

/// Copies tokenizer, generation, chat template and licence files that `from` has into `to`.
/// Anything but a regular file is left out, and so is a link that leaves the folder (or, in a
/// snapshot of the Hugging Face cache, the model's part of it, which is made of links): what it
/// leads to is nobody's to publish. Returns a line for people for each of those.
std::vector<std::string> carry_files(const std::string& from, const std::string& to);

}  // namespace nibble
