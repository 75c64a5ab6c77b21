// LoRA adapters merged into a model, and what that cost.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nibble/compress/merge.h"
#include "nibble/eval/measurement.h"
#include "nibble/jobs/notice.h"
#include "nibble/jobs/text.h"

namespace nibble {

struct MergeJob {
  std::string model, out;  ///< as resolve_model() takes it; what to make
  MergeOptions options;
  std::optional<Text> text;  ///< to measure on; unset: nothing is measured
  TextOptions cut;
};

struct MergeResult {
  MergedOutput written;
  std::string
      measured_on;  ///< "book.txt, the held-out tenth, protocol windows"; empty: nothing was
  /// The base with its adapters beside it, which the second, what was written, is measured against.
  std::vector<Measurement> models;
  std::vector<std::string> warnings;
};

/// merge_adapters(), and where there is a text compare_models() of what was written.
MergeResult merge(const MergeJob& job, const Exec& exec, const NoticeHook& tell = {});

}  // namespace nibble
