// Workspace: memory that passes over a model work in.
#pragma once

#include <array>
#include <cstdint>

#include "nibble/core/aligned_memory.h"

namespace nibble {

/// Kept between passes so that nothing is allocated while tokens are decoded, and used by one pass
/// at a time. Each user names its buffers by numbers of its own.
struct Workspace {
  std::array<AlignedMemory, 20> buffers;
  int64_t rows = -1, threads = -1;  ///< what they were last made for
};

}  // namespace nibble
