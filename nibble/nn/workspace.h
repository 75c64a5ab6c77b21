// Workspace: memory that passes over a model work in.
#pragma once

#include <array>
#include <cstdint>

#include "nibble/core/aligned_memory.h"

namespace nibble {

/// Kept between passes of one model so that nothing is allocated while tokens are decoded, and used
/// by one pass at a time. Each user names its buffers by numbers of its own.
struct Workspace {
  std::array<AlignedMemory, 48> buffers;
  /// What the last pass was, and the bytes that its products needed.
  int64_t rows = -1, logit_rows = -1, threads = -1, products = 0;
};

}  // namespace nibble
