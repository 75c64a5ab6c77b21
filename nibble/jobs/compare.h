// Models, or one model in several schemes, side by side: everything measured of each, the first
// being the baseline.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/measure.h"
#include "nibble/eval/peak.h"
#include "nibble/jobs/notice.h"
#include "nibble/jobs/run_info.h"
#include "nibble/jobs/text.h"

namespace nibble {

/// Prefill and decode timed apart, and eight texts to see how far they stay the same.
inline MeasureOptions compare_options() {
  MeasureOptions out;
  out.throughput = true;
  out.continuations = 8;
  return out;
}

struct CompareJob {
  std::vector<std::string> models;      ///< as resolve_model() takes them; at least the baseline
  std::vector<std::string> schemes;     ///< made of the first model, which f32 makes the baseline
  std::vector<std::string> keep, also;  ///< of the schemes, as in Precision (model_choice.h)
  /// On the first model and on what schemes make of it, as in ModelChoice.
  std::vector<std::string> adapters = {};
  /// Unset: names, held out, for models that read names, else text that the first writes itself.
  std::optional<Text> text;
  TextOptions cut;
  std::string prompt;  ///< what samples and timed generations begin with
  std::string data;    ///< of classifiers: folder with MNIST's IDX files; empty: random
  MeasureOptions measure = compare_options();  ///< prompt and samples are the job's
  bool roof = false;                           ///< measure the machine's limits as well
  std::string command;                         ///< for the report
};

struct CompareResult {
  std::string model;        ///< the first one's name, as it was given
  std::string measured_on;  ///< "names.txt, the held-out tenth, protocol windows"
  bool own_text = false;    ///< measured on what the first model wrote itself
  std::string prompt;
  RunInfo run;
  std::vector<Measurement> models;
  std::vector<ClassifierMeasurement> classifiers;  ///< instead, where the first model is one
  Roof roof = {};  ///< with as many threads; 0 where it was not measured
  std::vector<std::string> warnings;
};

/// Opens or makes one model at a time beside the baseline. Error{invalid_argument} for a vocabulary
/// of another size than the baseline's, Error{corrupt} for a text too short to predict anything.
CompareResult compare(const CompareJob& job, const Exec& exec, const NoticeHook& tell = {});

}  // namespace nibble
