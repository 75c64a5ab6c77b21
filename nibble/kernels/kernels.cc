#include "nibble/kernels/kernels.h"

#include "nibble/core/error.h"
#include "nibble/kernels/dispatch.h"

namespace nibble {

#define NIBBLE_KERNEL(name) extern const Kernel name;
#include "nibble/kernels/list.inc"
#undef NIBBLE_KERNEL

namespace {

constexpr const Kernel* kKernels[] = {
#define NIBBLE_KERNEL(name) &name,
#include "nibble/kernels/list.inc"
#undef NIBBLE_KERNEL
};

}  // namespace

std::span<const Kernel* const> kernels() { return kKernels; }

bool can_run(const Kernel& kernel) { return can_run(kernel.isa); }

const Kernel& choose_gemm(const GemmTraits& traits) {
  for (const Kernel* kernel : kKernels) {
    if (kernel->accepts != nullptr && can_run(*kernel) && kernel->accepts(traits)) return *kernel;
  }
  throw unsupported("no kernel multiplies this kind of weight");
}

const Kernel& choose_quantize_rows() {
  for (const Kernel* kernel : kKernels) {
    if (kernel->quantize_rows != nullptr && can_run(*kernel)) return *kernel;
  }
  throw unsupported("no kernel quantizes rows");
}

}  // namespace nibble
