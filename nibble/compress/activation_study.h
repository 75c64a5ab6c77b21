// Outliers of what each group of projections reads, and what each remedy does to the error of its
// outputs when both sides are int8. An outlier is a value beyond a magnitude (6: Dettmers et al.
// 2022, LLM.int8()) or beyond so many standard deviations of the group's input.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nibble/compress/calibration_text.h"

namespace nibble {

/// In the order of InputStudy::errors.
enum class Remedy { weights_only, none, clip, per_token, per_channel, rescaled, llm_int8 };
inline constexpr size_t kRemedies = 7;
struct RemedyText {
  std::string_view name, summary;
};
RemedyText text_of(Remedy remedy);

struct OutlierChannel {
  int64_t channel = 0;
  double absmax = 0;
  double share = 0;  ///< of the rows, where it lies beyond either limit
};

struct InputStudy {
  int layer = -1;      ///< -1 for lm_head
  std::string stage;   ///< "attention", "attention out", "mlp", "mlp out", "lm_head"
  std::string tensor;  ///< the first weight that reads it
  int64_t channels = 0, rows = 0;
  double deviation = 0, absmax = 0;
  int64_t beyond_magnitude = 0, beyond_deviations = 0;  ///< channels with a value out there
  std::vector<OutlierChannel> outliers;                 ///< of either kind, widest first
  /// Squared error of the outputs over that of the outputs themselves, for int8 weights (a scale a
  /// row, to nearest) and int8 inputs after each remedy; negative where one does not apply.
  std::array<double, kRemedies> errors{};
  double exponent = 0;  ///< SmoothQuant's, 0: no scale was better
  std::string note;     ///< why SmoothQuant does not apply
};

struct ActivationStudy {
  std::string source;  ///< of the text, for people
  int64_t tokens = 0;
  double magnitude = 6, sigmas = 6;
  std::vector<InputStudy> inputs;  ///< in the order in which they run
};

/// Runs the model as it is over the text. Statistics are over all rows, errors over some of them,
/// evenly spread. Error{unsupported} for an MLP or a model that is quantized already.
ActivationStudy study_activations(const Model& model, const CalibrationText& text, double magnitude,
                                  double sigmas, const Exec& exec);

}  // namespace nibble
