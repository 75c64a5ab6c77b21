// Which nibble this is.
#pragma once

#include <string_view>

#include "nibble/api/export.h"

namespace nibble::api {

/// "0.1.0"
NIBBLE_API std::string_view version();

/// The instruction set whose kernels are used on this processor: "avx512vnni".
NIBBLE_API std::string_view instruction_set();

}  // namespace nibble::api
