// The page of `nibble compare`: any models side by side, the first being the baseline.
#pragma once

#include <string>
#include <vector>

#include "nibble/eval/measurement.h"

namespace nibble {

struct CompareReport {
  std::string title;  ///< "nibble compare: demo-out/f32"
  std::string
      protocol;  ///< what the models were measured on: "names.txt, held-out part, windows of 16"
  std::string machine, date, version, command;
  std::vector<Measurement> models;
};

/// One self-contained page: verdict, table, size against quality, speed, samples.
std::string render_html(const CompareReport& report);

}  // namespace nibble
