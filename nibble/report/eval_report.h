// `nibble eval`: a loss, and the distance from a baseline.
#pragma once

#include <string>

#include "nibble/jobs/eval.h"

namespace nibble {

/// In words; of classifiers a table.
std::string render_terminal(const EvalResult& result);
/// The same numbers and all quantiles.
std::string eval_json(const EvalResult& result);

}  // namespace nibble
