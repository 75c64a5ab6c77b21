// How large a model's tensor files will be, before anything is quantized.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "nibble/model/model.h"

namespace nibble {

/// Bytes of the tensor files that write_model_like() makes of these, to the byte; nothing where a
/// scheme has no layout. make() is not called.
std::optional<int64_t> planned_file_bytes(const std::vector<WritableParameter>& parameters,
                                          const WeightLayout* layout = nullptr);

}  // namespace nibble
