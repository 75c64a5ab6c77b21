// A config.json by itself: which model it describes.
#pragma once

#include <string>
#include <vector>

#include "nibble/core/json.h"
#include "nibble/model/model.h"

namespace nibble {

/// The fields of a config.json, of its text part where it has several. Error{corrupt} where it is
/// none.
JsonFields config_fields(const std::string& path);

/// The model that they describe. What they say beyond that becomes a warning, a line each. Errors
/// name the key.
ModelConfig read_config(const JsonFields& fields, std::vector<std::string>& warnings);

/// The decoder of a config.json, for weights that are still to be made: they get the names of a
/// whole model's. Errors name the file and the key; Error{unsupported} for an MLP's or a quantized
/// model's.
DecoderConfig read_decoder_config(const std::string& path, std::vector<std::string>& warnings);

}  // namespace nibble
