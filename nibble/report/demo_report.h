// The demo's report: one self-contained HTML page with its plots as SVG, and the table for a
// terminal.
#pragma once

#include <string>
#include <vector>

#include "nibble/eval/distribution.h"
#include "nibble/eval/measurement.h"
#include "nibble/jobs/run_info.h"

namespace nibble {

/// One tensor's weights before and after: f32, dequantized, and their difference.
struct WeightHistograms {
  std::string tensor, scheme;
  Histogram original, dequantized;
  /// (dequantized - original) / the scale of its group: rounding alone stays within +-0.5.
  Histogram error;
};

/// How the held-out loss changes when one tensor alone is quantized.
struct Sensitivity {
  std::string tensor;
  std::string scheme;
  double loss_difference = 0;
  double kl_mean = 0;
};

struct DemoReport {
  std::string title;
  RunInfo run;
  std::string data;   ///< "data/names.txt: 4,012 unique names, 3,610 for training"
  std::string model;  ///< "microGPT, 1 layer, 48 wide, 31,008 weights"
  int64_t steps = 0, batch = 0;
  uint64_t seed = 42, data_seed = 42;  ///< of weights and order; of the split of the data
  double train_seconds = 0, train_tokens_per_second = 0;
  std::vector<float> losses;  ///< training loss of each step
  double heldout_loss = 0;
  double bigram_loss = 0;           ///< held-out loss of counting pairs of characters; 0: not given
  std::vector<Measurement> models;  ///< the first is the baseline, f32
  std::vector<WeightHistograms> histograms;
  std::vector<OutlierStats> weight_outliers, activation_outliers;
  std::vector<RemedyErrors> remedies;
  std::vector<Sensitivity> sensitivity;
};

/// The whole page, its verdicts computed from the numbers; opens from disk, asks for nothing from a
/// network. Every text in it is escaped.
std::string render_html(const DemoReport& report);

/// Columns: model, bits/weight, file, memory, loss (and its change), perplexity, top-1, KL; below
/// it the speeds (render_speeds()). Plain text, aligned, for a terminal `width` columns wide.
std::string render_table(const std::vector<Measurement>& models, int width = 100);

}  // namespace nibble
