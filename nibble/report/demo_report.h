// The demo's report: one self-contained HTML page with its plots as SVG, and the table for a
// terminal.
#pragma once

#include <string>
#include <vector>

#include "nibble/jobs/demo.h"

namespace nibble {

/// The whole page, its verdicts computed from the numbers; opens from disk, asks for nothing from a
/// network. Every text in it is escaped.
std::string render_html(const DemoResult& result);

/// Columns: model, bits/weight, file, memory, loss (and its change), perplexity, top-1, KL; below
/// it the speeds (render_speeds()). Plain text, aligned, for a terminal `width` columns wide.
std::string render_table(const std::vector<Measurement>& models, int width = 100);

/// The table, and in a line each the model that the page leads with and the fastest.
std::string render_terminal(const DemoResult& result, int width = 100);

/// report.html and report.json, into the folder that demo() is about to make.
void write_demo_pages(const DemoResult& result, const std::string& folder);

}  // namespace nibble
