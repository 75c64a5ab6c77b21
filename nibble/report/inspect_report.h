// `nibble inspect`: a model's tensors, and the distribution of one of them.
#pragma once

#include <string>

#include "nibble/jobs/inspect.h"

namespace nibble {

std::string render_terminal(const InspectResult& result);
std::string inspect_json(const InspectResult& result);

/// A line.
std::string render_terminal(const OutlierStats& stats);
/// With the outliers of every channel.
std::string outliers_json(const OutlierStats& stats);

}  // namespace nibble
