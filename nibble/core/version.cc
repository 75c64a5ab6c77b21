#include "nibble/core/version.h"

namespace nibble {

std::string_view version() { return NIBBLE_VERSION; }

}  // namespace nibble
