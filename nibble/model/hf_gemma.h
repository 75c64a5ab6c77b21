// What Gemma 2 and 3 share in config.json and in tensor names.
#pragma once

#include <string>
#include <string_view>

#include "nibble/model/hf_config.h"

namespace nibble::hf {

inline constexpr int64_t kGemmaHeadDim = 256, kGemmaWindow = 4096;

std::string gemma_tensor_name(const ParamKey& key);

/// sqrt(width) as the weights' own type has it: what the model was trained with.
double gemma_embedding_scale(const JsonFields& fields, int64_t width);

/// A cap of tanh; null: none.
double read_cap(const JsonFields& fields, std::string_view key, double otherwise);
void write_cap(std::string_view key, double value, JsonWriter& out);

/// Norms before and behind each half of a layer, gains stored less 1, a scaled embedding, GELU
/// behind the gate. Caps, windows and rotary positions are the caller's.
DecoderConfig read_gemma_like(const JsonFields& fields, std::string_view model_type,
                              double default_theta);
void write_gemma_like(const DecoderConfig& config, JsonWriter& out, bool rope);

}  // namespace nibble::hf
