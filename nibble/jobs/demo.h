// The demo: train a microGPT, quantize it every way, measure each the same way, and gather what the
// report shows.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "nibble/core/exec.h"
#include "nibble/eval/rounds.h"
#include "nibble/report/demo_report.h"

namespace nibble {

struct DemoOptions {
  std::string out;  ///< folder to make
  std::string preset = "demo";
  std::string data_name = "built-in names";
  std::string text;  ///< one name a line
  std::optional<int64_t> steps, batch;
  uint64_t seed = 42;
  int runs = kEnoughRuns;  ///< timed rounds a model
  bool force = false;      ///< replace a folder that is not an earlier demo's
  std::string command;     ///< the command line, for the report
};

/// Makes `out` with one folder a model (f32, int8-tensor, int8, ...), report.html and report.json.
/// An earlier demo's output, known by its marker file, is replaced; another folder of that name is
/// an Error (cannot_create) without force. Nothing is left behind where it fails.
DemoReport run_demo(const DemoOptions& options, const Exec& exec);

/// The file that marks a folder as a demo's output.
inline constexpr const char* kDemoMarker = "nibble-demo.json";

}  // namespace nibble
