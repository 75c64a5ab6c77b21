// `nibble compare`: any models side by side, the first being the baseline. As a page, a table for a
// terminal and JSON.
#pragma once

#include <string>

#include "nibble/jobs/compare.h"

namespace nibble {

/// One self-contained page: verdicts, table, size against quality, speed, how differences grow with
/// length, the texts, samples.
std::string render_html(const CompareResult& result);

/// The table, a verdict for each model, and the texts; the table is at most `width` columns wide.
std::string render_terminal(const CompareResult& result, int width = 100);

/// The document of `compare --json`: schema_version, what was measured on what, and `models` as
/// write_measurement_fields() has them, each with its ratios to the first and its verdict.
std::string compare_json(const CompareResult& result);

}  // namespace nibble
