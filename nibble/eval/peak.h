// How fast this machine multiplies: what bounds prefill, which multiplies every weight with many
// rows. With the read bandwidth (bandwidth.h) it is the roof over every product (Williams,
// Waterman and Patterson 2009).
#pragma once

#include "nibble/kernels/kernel.h"

namespace nibble {

struct PeakOptions {
  int threads = 1;
  double seconds = 0.1;  ///< of repeated passes, at least; the best one counts
};

/// Operations a second (a multiplication and an addition are two) of `threads` threads that run the
/// innermost instructions of `kernel` on registers alone; 0 where the kernel cannot tell.
double measure_peak(const Kernel& kernel, const PeakOptions& options);

/// The machine's limits at a number of threads, all measured now.
struct Roof {
  double bytes_per_second = 0;         ///< read from memory
  double integer_ops_per_second = 0;   ///< int8 activations
  double floating_ops_per_second = 0;  ///< f32 activations
};
/// Takes about a second and 1 GiB of memory, or a quarter of what there is; less where that is not
/// to be had, and no bytes_per_second where too little is.
Roof measure_roof(int threads);

}  // namespace nibble
