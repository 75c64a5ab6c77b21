// The kernels there are, and which of them to use.
#pragma once

#include <span>

#include "nibble/kernels/kernel.h"

namespace nibble {

/// Every kernel of list.inc, best first, whether this processor can run it or not.
std::span<const Kernel* const> kernels();
/// Whether the processor, as NIBBLE_ISA caps it, can run the kernel.
bool can_run(const Kernel& kernel);

/// The kernel for a product with these traits; there is one for every weight of int2 to int8 or
/// plain floats.
const Kernel& choose_gemm(const GemmTraits& traits);
/// The kernel that quantizes rows of x.
const Kernel& choose_quantize_rows();

}  // namespace nibble
