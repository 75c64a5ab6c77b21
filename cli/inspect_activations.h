// nibble inspect --activations.
#pragma once

#include <string>

#include "cli/command.h"
#include "nibble/compress/calibration_text.h"

namespace nibble::cli {

struct ActivationOptions {
  CalibrationOptions text;
  double magnitude = 6, sigmas = 6;
  std::string report;  ///< HTML file; empty: none
  bool force = false;  ///< replaces it
};

void inspect_activations(const Common& common, const ModelFolder& model,
                         const ActivationOptions& options);

}  // namespace nibble::cli
