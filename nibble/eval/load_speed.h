// How long a model takes to load, against the least that reading its files can take.
#pragma once

#include <cstdint>
#include <string>

namespace nibble {

struct LoadSpeedOptions {
  int threads = 1;
  int runs = 1;  ///< of loading and of reading, in turn; the medians count
};

struct LoadSpeed {
  int64_t file_bytes = 0;   ///< of the tensor files
  double load_seconds = 0;  ///< opening and packing every weight; no tokenizer
  double read_seconds = 0;  ///< a plain read() of those files into fresh memory
  double ratio() const { return read_seconds > 0 ? load_seconds / read_seconds : 0; }
};

/// Loads the model at `path` (as open_model()) and lets it go again. The files are read first, so
/// that both times are of files in the page cache, where they fit. Of files beyond 4 GiB only so
/// much is read, and the time of the rest taken to be in proportion. Errors of open_model();
/// Error{invalid_argument} for threads or runs below 1.
LoadSpeed measure_load(const std::string& path, const LoadSpeedOptions& options);

}  // namespace nibble
