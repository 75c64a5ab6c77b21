// The demo: train a microGPT, quantize it every way, measure each the same way, and gather what the
// report shows.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/distribution.h"
#include "nibble/eval/measurement.h"
#include "nibble/eval/rounds.h"
#include "nibble/jobs/run_info.h"
#include "nibble/jobs/text.h"

namespace nibble {

struct DemoJob {
  std::string out;  ///< folder to make
  std::string preset = "demo";
  Text text = names_text();  ///< one name a line
  std::optional<int64_t> steps, batch;
  uint64_t seed = 42;
  int runs = kEnoughRuns;  ///< timed rounds a model
  bool force = false;      ///< replace a folder that is not an earlier demo's
  std::string command;     ///< the command line, for the report
};

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

struct DemoResult {
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

/// Adds to the folder before it gets its name: the report.
using DemoHook = std::function<void(const DemoResult&, const std::string& folder)>;

/// Makes `out` with one folder a model (f32, int8-tensor, int8, ...) and what `finish` adds. An
/// earlier demo's output, known by its marker file, is replaced; another folder of that name is an
/// Error (cannot_create) without force. Nothing is left behind where it fails.
DemoResult demo(const DemoJob& job, const Exec& exec, const DemoHook& finish = {});

/// The file that marks a folder as a demo's output.
inline constexpr const char* kDemoMarker = "nibble-demo.json";

}  // namespace nibble
