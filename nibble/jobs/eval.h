// The loss of a model on a text, and how far it is from another.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nibble/core/exec.h"
#include "nibble/eval/perplexity.h"
#include "nibble/jobs/model_choice.h"
#include "nibble/jobs/notice.h"
#include "nibble/jobs/text.h"

namespace nibble {

struct EvalJob {
  ModelChoice model;
  std::string against;       ///< baseline as it is stored, as resolve_model() takes it; empty: none
  std::optional<Text> text;  ///< unset: names, for models that read names
  TextOptions cut;
  DType kv = DType::f32;  ///< of the model's cache; the baseline's is f32
  std::string data;       ///< of classifiers, as in CompareJob
};

struct EvalResult {
  std::string model, scheme, against;  ///< the models as they were given
  Protocol protocol = Protocol::windows;
  LossResult loss;
  std::optional<ComparisonResult> comparison;      ///< where there is a baseline
  std::vector<ClassifierMeasurement> classifiers;  ///< instead of both, where the model is one
  std::vector<std::string> warnings;
};

/// Error{invalid_argument} where a text is needed and for a baseline whose vocabulary has another
/// size, Error{corrupt} for a text too short to predict anything.
EvalResult evaluate(const EvalJob& job, const Exec& exec, const NoticeHook& tell = {});

}  // namespace nibble
