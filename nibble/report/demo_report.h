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

/// One object: schema_version, what was trained and where, and `models`, each with name, scheme,
/// file_bytes, memory_bytes, loss, perplexity, top1_agreement, kl_mean, tokens_per_second, samples
/// and the other fields of Measurement. The first model is the baseline.
std::string demo_json(const DemoResult& result);

/// report.html and report.json, into the folder that demo() is about to make.
void write_demo_pages(const DemoResult& result, const std::string& folder);

}  // namespace nibble
