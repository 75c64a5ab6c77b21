// A model made small: in the bits asked for, or in those that a budget leaves it.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "nibble/compress/auto_bits.h"
#include "nibble/compress/estimate.h"
#include "nibble/compress/quantize.h"
#include "nibble/jobs/notice.h"

namespace nibble {

struct QuantizeJob {
  std::string model;  ///< as resolve_model() takes it
  std::string out;    ///< folder to make
  QuantizeOptions options;
  /// Fields that were set on purpose ("damping"): a warning names those that nothing reads.
  std::vector<std::string> given;
};

/// quantize_model(). The text that the model has to generate for it is told of beforehand.
QuantizeResult quantize(const QuantizeJob& job, const Exec& exec, const NoticeHook& tell = {});

/// What quantize() would make, and what it would need; nothing is written.
struct QuantizePlan {
  double bits_per_weight = 0;
  QuantizeEstimate estimate;
  bool writes_text = false;  ///< the model generates its calibration text
  std::vector<std::string> warnings;
  /// Bytes at its peak.
  int64_t memory_bytes() const { return std::max(estimate.memory_bytes, estimate.text_bytes); }
};
QuantizePlan plan(const QuantizeJob& job, const Exec& exec);

struct AutoJob {
  std::string model, out;
  BitBudget budget;
  QuantizeOptions options;
};
/// Where nothing else is said: the better of yaqa and awq+yaqa, as they do in int4:g32.
QuantizeOptions auto_options();
/// auto_quantize(). Error{invalid_argument} unless there is one budget.
AutoResult choose_bits(const AutoJob& job, const Exec& exec);

}  // namespace nibble
