#include "nibble/api/version.h"

#include "nibble/core/cpu.h"
#include "nibble/core/version.h"

namespace nibble::api {

std::string_view version() { return nibble::version(); }

std::string_view instruction_set() { return cpu().isa; }

}  // namespace nibble::api
