// nibble.json: the proof that lies beside a quantized model: what was done to what, with which
// version.
#pragma once

#include <string>

#include "nibble/compress/quantize.h"

namespace nibble {

/// `schema_version` of nibble.json. 2: the recipe has every option; calibration.
inline constexpr int kProvenanceSchema = 2;

/// Into an object that is open: which adapters (QuantizeOptions::adapters) were merged; nothing
/// where there are none.
void write_adapters(const std::vector<std::string>& adapters, JsonWriter& out);

/// The text of nibble.json: schema version, nibble's version, the
/// recipe (enough to run it again and get the same bytes), a hash of each input tensor file, what
/// came out.
std::string provenance(const Model& input, const QuantizeOptions& options,
                       const QuantizeResult& result);

}  // namespace nibble
