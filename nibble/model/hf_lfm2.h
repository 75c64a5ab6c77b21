// What LFM2 and its mixtures of experts share in config.json and in tensor names.
#pragma once

#include <string>
#include <string_view>

#include "nibble/model/hf_config.h"

namespace nibble::hf {

std::string lfm2_tensor_name(const ParamKey& key);
/// `width` is that of the dense MLP.
DecoderConfig read_lfm2_like(const JsonFields& fields, std::string_view model_type, int64_t width);
void write_lfm2_like(const DecoderConfig& config, JsonWriter& out);

}  // namespace nibble::hf
