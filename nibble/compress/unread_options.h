// Options that say something about a method which the chosen one is not.
#pragma once

#include <span>
#include <string>

#include "nibble/compress/quantize.h"

namespace nibble {

/// True where the method, or the scheme of some matrix, is calibrated on a text.
bool reads_text(const QuantizeOptions& options);

/// A warning that names those of the options `given` ("damping", as a recipe names it) which
/// neither the method nor any scheme of `options` reads; empty where all are read.
std::string unread_options(const QuantizeOptions& options, std::span<const std::string> given);

}  // namespace nibble
