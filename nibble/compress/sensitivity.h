// How much each matrix costs at each scheme: what is left of its error once the matrices behind it
// have made up for it.
#pragma once

#include <string>
#include <vector>

#include "nibble/compress/calibration_text.h"
#include "nibble/compress/quantize.h"

namespace nibble {

struct SchemeCost {
  QuantScheme scheme;
  int64_t bytes = 0;
  /// KL when this matrix alone is in this scheme and those behind it are corrected for it, as the
  /// method does; measured, or from the measured one by the ratio of the errors of the matrix's
  /// outputs, to which KL is proportional while it is small.
  double kl = 0;
  double error = 0;  ///< mean squared error of an output
  bool measured = false;
};

struct MatrixCosts {
  std::string name;
  int64_t weights = 0;
  std::vector<SchemeCost> costs;
};

/// What every matrix may get (of what options.formats holds) and the bytes of it, nothing
/// measured: kl and error are 0.
std::vector<MatrixCosts> matrix_sizes(const QuantizeOptions& options,
                                      const std::vector<ParameterPlan>& plans);

/// For every matrix that the plans quantize, whatever their schemes, in the order in which they
/// run. A part of the samples corrects, another part is measured on.
std::vector<MatrixCosts> matrix_costs(const Model& model, const QuantizeOptions& options,
                                      const std::vector<ParameterPlan>& plans,
                                      const CalibrationText& text, const Exec& exec);

}  // namespace nibble
