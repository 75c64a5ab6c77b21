// `nibble compare`: any models side by side, the first being the baseline. As a page, a table for a
// terminal and JSON.
#pragma once

#include <string>
#include <vector>

#include "nibble/eval/measurement.h"
#include "nibble/eval/peak.h"

namespace nibble {

struct CompareReport {
  std::string title;  ///< "nibble compare: demo-out/f32"
  std::string
      protocol;  ///< what the models were measured on: "names.txt, held-out part, windows of 16"
  std::string prompt;     ///< what the texts begin with
  bool own_text = false;  ///< measured on what the first model wrote itself
  std::string machine, date, version, command;
  std::vector<Measurement> models;
  Roof roof = {};  ///< of the machine with as many threads; 0 where it was not measured
};

/// One self-contained page: verdicts, table, size against quality, speed, how differences grow with
/// length, the texts, samples.
std::string render_html(const CompareReport& report);

/// The table, a verdict for each model, and the texts; the table is at most `width` columns wide.
std::string render_terminal(const CompareReport& report, int width = 100);

/// The document of `compare --json`: schema_version, what was measured on what, and `models` as
/// write_measurement() has them, each with its ratios to the first and its verdict.
std::string compare_json(const CompareReport& report);

}  // namespace nibble
