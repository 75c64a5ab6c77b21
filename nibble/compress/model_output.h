// Where a model is written. It appears when all of it is there and has been read back.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nibble/compress/export_check.h"
#include "nibble/core/atomic_folder.h"
#include "nibble/core/exec.h"
#include "nibble/model/output_format.h"

namespace nibble {

/// Error{io} where a file to be made exists and may not be replaced.
void refuse_existing(const std::string& out, bool force);

class ModelOutput {
 public:
  /// Errors before any work. `folder`: null, or one that is there to be filled.
  ModelOutput(const OutputTarget& target, bool force, AtomicFolder* folder = nullptr);

  struct Contents {
    const Model& model;  ///< config and companions of what is written
    const std::vector<WritableParameter>& parameters;
    const ExportCheck& check;  ///< noted by what makes the parameters
    std::string type = {};     ///< of a GGUF file: the mixture that it is known by
    /// What else is looked at before it appears; may be empty.
    std::function<void(const Model& written)> verify = {};
  };
  /// Writes all, reads it back, and lets it appear. `provenance` is asked for once `bytes` are
  /// known, which of a GGUF file they are not (0): the text of nibble.json. Returns the bytes of
  /// the tensor files, or of the file.
  int64_t write(const Contents& contents,
                const std::function<std::string(int64_t bytes)>& provenance,
                std::vector<std::string>& warnings, const Exec& exec);

 private:
  OutputTarget target_;
  std::optional<AtomicFolder> own_;
  AtomicFolder* folder_ = nullptr;  // null for a file
};

}  // namespace nibble
