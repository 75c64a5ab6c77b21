// A head that is the token embedding, made a matrix of its own so that it alone can be quantized.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nibble/compress/quantize.h"

namespace nibble {

/// The model with its head untied where the options cover the head (options.also lm_head, or a
/// SetRule that names it) and not the embedding that it is; nothing where they do not, or where the
/// two are apart already. The function is the same. What people should know is added to `warnings`.
std::optional<Model> untied_model(const Model& model, const QuantizeOptions& options,
                                  std::vector<std::string>& warnings);

/// For a pattern that names no tensor: that the head it means is the embedding, or nothing.
std::string tied_head_hint(const Model& model, std::string_view pattern);

}  // namespace nibble
