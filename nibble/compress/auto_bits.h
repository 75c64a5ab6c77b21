// Choosing the bits of every matrix under a budget: how much each matrix costs at each scheme is
// measured, the best assignment is found, made and measured again.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/compress/bit_chooser.h"
#include "nibble/compress/quantize.h"
#include "nibble/compress/sensitivity.h"

namespace nibble {

/// Exactly one of the three is set.
struct BitBudget {
  std::optional<double> bits;       ///< a weight, over all candidate matrices (DESIGN section 8)
  std::optional<double> max_kl;     ///< nats, on text that calibration did not see
  std::optional<int64_t> max_size;  ///< bytes of the tensor files, or of the GGUF file
};

struct AutoResult {
  std::vector<MatrixCosts> matrices;
  std::vector<AutoChoice> frontier;  ///< bits ascending
  AutoChoice choice;
  double measured_kl = 0, measured_kl_standard_error = 0;
  int tries = 0;  ///< models that were made on the way to max_kl
  std::vector<std::string> warnings;
  QuantizeResult written;
  QuantizeOptions options;  ///< that the model was made with: method, a SetRule for every matrix
};

/// In place of base.method: yaqa or awq+yaqa, whichever is better in base.scheme on samples that
/// calibration did not see.
inline constexpr std::string_view kBestMethod = "best";

/// Measures, chooses, quantizes the model `in` into `out` (a folder, or a GGUF file by its name: of
/// that the types of its tensors are chosen, embedding and head among them unless base.also says
/// otherwise) by base.method and measures the result
/// on samples that nothing was chosen by: neither calibration nor the search for max_kl saw them.
/// Warns where they lie above max_kl. Error{invalid_argument} where the budget is below the
/// smallest or max_kl cannot be met.
AutoResult auto_quantize(const std::string& in, const std::string& out, const BitBudget& budget,
                         const QuantizeOptions& base, const Exec& exec);

}  // namespace nibble
