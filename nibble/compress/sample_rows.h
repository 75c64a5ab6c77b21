// The rows of every calibration sample between two steps: in memory, or in a file where memory is
// short.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nibble/core/posix.h"

namespace nibble {

class SampleRows {
 public:
  /// Room for `samples` samples; with a `folder`, in a file there that has no name and so vanishes
  /// with the process. `largest` is the most floats that a sample can have.
  SampleRows(size_t samples, int64_t largest, const std::string& folder);

  /// Takes a sample's rows out; put() them back where they are needed again. Different samples may
  /// be taken and put by different threads at once.
  std::vector<float> take(size_t sample);
  void put(size_t sample, std::vector<float> rows);

 private:
  std::string folder_;
  Descriptor file_;
  int64_t slot_ = 0;                      // bytes
  std::vector<std::vector<float>> rows_;  // in memory
  std::vector<size_t> sizes_;             // in the file
};

}  // namespace nibble
