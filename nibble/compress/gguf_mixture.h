// The mixtures of types that GGUF files are known by ("Q4_K_M"): which type each tensor has.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nibble/compress/quantize.h"

namespace nibble {

/// Names of mixtures, and of types on their own: "Q4_K_M", "Q8_0".
std::vector<std::string_view> gguf_mixtures();

/// Sets the scheme of `options`, and rules behind those that it has, so that `config` gets the
/// types that llama.cpp's own quantizer gives it under that name (llama-quant.cpp, read 2026-11):
/// the head, or an embedding that is the head, in more bits. Its exceptions for models of 70 B and
/// for what an importance matrix leaves out of Q4_0 are not among them. Error{invalid_argument}
/// lists the names.
void use_mixture(std::string_view name, const DecoderConfig& config, QuantizeOptions& options);

}  // namespace nibble
