// `nibble quantize`: what was made, or would be.
#pragma once

#include <string>

#include "nibble/jobs/quantize.h"

namespace nibble {

std::string render_terminal(const QuantizeJob& job, const QuantizeResult& result);
std::string quantize_json(const QuantizeJob& job, const QuantizeResult& result);
std::string render_terminal(const QuantizePlan& plan);
std::string plan_json(const QuantizePlan& plan);

}  // namespace nibble
