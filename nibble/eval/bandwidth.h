// How fast this machine reads memory: what bounds decoding, which reads every weight for each
// token.
#pragma once

#include <cstdint>

namespace nibble {

struct BandwidthOptions {
  int threads = 1;
  int64_t bytes = int64_t{1} << 30;  ///< of the buffer; so many that no cache holds a share of them
  double seconds = 0.5;              ///< of repeated reading, at least
};

/// Bytes a second of `threads` threads that each sum a part of one buffer again and again; the best
/// pass counts. Where so large a buffer is not to be had, half of it is tried, and so on, as long
/// as it is half as large again as the last cache; then 0: not known. Error{invalid_argument} for
/// threads or bytes below 1.
double measure_read_bandwidth(const BandwidthOptions& options);

/// Memory that this process may use, in bytes: the machine's, or its control group's limit where
/// that is lower.
int64_t usable_memory_bytes();

}  // namespace nibble
