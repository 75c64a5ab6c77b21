// The token sequences that a model is calibrated on.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/model/model.h"

namespace nibble {

struct CalibrationOptions {
  std::string text;  ///< path of a text file; empty: text that the model itself generates
  int64_t samples = 128;
  int64_t length = 512;  ///< tokens a sample; at most the model's context
  uint64_t seed = 42;    ///< of the choice of samples, or of generating
};

/// Error{corrupt} where the file holds fewer than two samples' worth or a handful of tokens.
struct CalibrationText {
  std::vector<std::vector<int32_t>> samples;
  std::string source;  ///< for people: "book.txt", "text that the model generated"
  int64_t tokens() const;
};

/// Samples of a file: windows of `length` tokens, `samples` of them chosen without replacement
/// where there are more, in the order of the text. Line data gives whole lines. Without a file the
/// model writes them (temperature 1, the seed).
CalibrationText calibration_text(const Model& model, const CalibrationOptions& options,
                                 const Exec& exec);

/// How a text from a file suits the model.
struct CalibrationFit {
  double loss = 0;      ///< nats a token on the text
  double own_loss = 0;  ///< the same on text that the model writes: what it expects
};
/// Measured on a few samples, fewer for models of more than 2^28 weights; loads the model, which
/// is gone again before anything else is done: text of its own cannot be written block by block.
CalibrationFit calibration_fit(const Model& model, const CalibrationText& text, uint64_t seed,
                               const Exec& exec);
/// Bytes of memory that the samples take to write, or where they come from a file
/// calibration_fit(): the model as it is loaded and the caches of what is written side by side.
int64_t text_memory(const Model& model, const CalibrationOptions& options, int threads);
/// What to tell the user of a text that the model knows by heart or does not know at all; empty
/// where the two losses are alike.
std::string fit_warning(const CalibrationFit& fit, const std::string& source);

/// `count` more samples, none of which calibration_text() gives for the same options: to measure
/// on. Of a file with fewer windows than samples + count, options.samples becomes what is left for
/// it; Error{invalid_argument} where that is nothing.
CalibrationText held_out_text(const Model& model, CalibrationOptions& options, int64_t count,
                              const Exec& exec);

}  // namespace nibble
