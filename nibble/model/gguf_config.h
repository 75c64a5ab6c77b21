// A DecoderConfig from the metadata of a GGUF file.
#pragma once

#include <string>
#include <vector>

#include "nibble/format/gguf_file.h"
#include "nibble/model/config.h"

namespace nibble {

/// What the architecture's own read_config() makes of the same facts as config.json. The data must
/// be there (GgufFile::require_data): some facts are tensors. Errors name the key of the metadata
/// or the tensor. Keys of the architecture that nibble does not know are added to `warnings`.
DecoderConfig read_gguf_config(const GgufFile& file, std::vector<std::string>& warnings);

}  // namespace nibble
