// What a file says of a model's inputs (format/importance_file.h) in place of a calibration: the
// model is not run. Entries are by the names that GGUF gives to weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/compress/layer_store.h"
#include "nibble/compress/quantize.h"
#include "nibble/core/exec.h"
#include "nibble/format/importance_file.h"

namespace nibble {

/// Error{invalid_argument} where options.importance_file names a file and the method would see less
/// than it needs in it, or nothing of it.
void require_importance_method(const QuantizeOptions& options);

class GivenImportance {
 public:
  /// Reads the file and holds it against the matrices that `plans` quantize. Error{corrupt} names
  /// the file and the entry where one is of another length than its weight has inputs, or none fits
  /// any of them; entries that fit no weight of the model are told of in `warnings`.
  GivenImportance(const std::string& path, const std::vector<ParameterPlan>& plans,
                  std::vector<std::string>& warnings);

  /// Whether the file has an entry for a weight.
  bool has(const ParamSpec& spec) const;
  /// The mean squares of a weight's inputs; where the file has no entry for it, all 1. Nothing is
  /// known of their magnitudes (absmax is empty), nor of how many rows there were where the file
  /// does not say: as many as inputs then.
  InputStatistics statistics(const ParamSpec& spec) const;
  /// What a user should know of them, as coverage_note() has it.
  std::string note(const ParamSpec& spec) const;
  const ImportanceSource& source() const { return source_; }
  /// "imatrix.gguf, 120 chunks of 512 tokens"
  std::string description() const;

 private:
  ImportanceFile file_;
  ImportanceSource source_;
};

/// Quantizes every matrix that is multiplied into `store`, layer by layer, but for the layers that
/// are there already.
void quantize_by_importance(const Model& model, const std::vector<ParameterPlan>& plans,
                            const QuantizeOptions& options, const GivenImportance& importance,
                            LayerStore& store, const Exec& exec);

}  // namespace nibble
