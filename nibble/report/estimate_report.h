// `nibble estimate`: what each scheme needs and how fast it could be.
#pragma once

#include <string>

#include "nibble/jobs/estimate.h"

namespace nibble {

/// A table of the schemes, at most `width` columns wide.
std::string render_terminal(const EstimateResult& result, int width = 100);
std::string estimate_json(const EstimateResult& result);

}  // namespace nibble
