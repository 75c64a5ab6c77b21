// `nibble bench`: speeds with their spread, and against a baseline.
#pragma once

#include <string>

#include "nibble/jobs/bench.h"

namespace nibble {

/// A few lines for people.
std::string render_terminal(const BenchResult& result);
std::string bench_json(const BenchResult& result);

}  // namespace nibble
