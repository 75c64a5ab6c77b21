// What a new model folder takes over from the one it was made of: its config, its tokenizer, how to
// generate with it, its licence.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "nibble/core/json.h"

namespace nibble {

/// A config.json with the keys of `original` in their order, but for quantization_config and
/// `dropped` (a key, or nothing); `add` then writes more keys into the object. Error{corrupt} where
/// `original` is not a JSON object.
std::string carry_config(std::string_view original, const std::function<void(JsonWriter&)>& add,
                         std::string_view dropped = "");

/// Copies tokenizer, generation, chat template and licence files that `from` has into `to`.
/// Links are followed; anything but a regular file is left out.
void carry_files(const std::string& from, const std::string& to);

}  // namespace nibble
