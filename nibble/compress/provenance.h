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

/// The begin of nibble.json, whoever makes the model: schema version, nibble's version, the
/// command.
void begin_provenance(std::string_view command, JsonWriter& out);

/// The text of nibble.json of a model in other clothes: what `input` was, and which adapters were
/// merged into it.
std::string copy_provenance(const Model& input, std::string_view command,
                            const std::vector<std::string>& adapters = {});

/// The text of nibble.json: schema version, nibble's version, the
/// recipe (enough to run it again and get the same bytes), a hash of each input tensor file, what
/// came out.
std::string provenance(const Model& input, const QuantizeOptions& options,
                       const QuantizeResult& result);

}  // namespace nibble
