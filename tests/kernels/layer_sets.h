// The LayerOps that can run here, and rows for them.
#pragma once

#include <vector>

#include "nibble/core/cpu.h"
#include "nibble/core/random.h"
#include "nibble/kernels/layer.h"

namespace nibble {

/// The reference and, as far as NIBBLE_ISA and the processor allow, the others.
inline std::vector<const LayerOps*> layer_ops() {
  std::vector<const LayerOps*> out{&ref_layer_ops(), &portable_layer_ops()};
#if defined(__x86_64__)
  if ((cpu().bits & kAvx2) != 0) out.push_back(&avx2_layer_ops());
  if ((cpu().bits & kAvx512) != 0) out.push_back(&avx512_layer_ops());
#endif
  return out;
}

inline std::vector<float> normal_values(size_t n, uint64_t seed) {
  PyRandom random(seed);
  std::vector<float> out(n);
  for (float& v : out) v = static_cast<float>(random.gauss(0.3, 2));
  return out;
}

}  // namespace nibble
