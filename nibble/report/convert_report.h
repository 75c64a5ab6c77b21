// What `nibble convert` says.
#pragma once

#include <string>

#include "nibble/jobs/convert.h"

namespace nibble {

std::string render_terminal(const ConvertJob& job, const ConvertResult& result);
std::string convert_json(const ConvertJob& job, const ConvertResult& result);

}  // namespace nibble
