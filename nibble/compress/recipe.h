// The recipe: everything that decides the bytes of a quantized model, as one JSON object.
#pragma once

#include <string>

#include "nibble/compress/quantize.h"
#include "nibble/core/json.h"

namespace nibble {

/// Writes the key "recipe" and its object.
void write_recipe(const QuantizeOptions& options, JsonWriter& out);

/// Reads one back from a file: the object itself, or a nibble.json with a key "recipe". Keys that
/// are absent keep their defaults; one that is not known is an Error{corrupt} that names it.
QuantizeOptions read_recipe(const std::string& path);

}  // namespace nibble
