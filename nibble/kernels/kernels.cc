#include "nibble/kernels/kernels.h"

#include "nibble/core/cpu.h"
#include "nibble/core/error.h"

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

// In the order of KernelIsa.
constexpr uint32_t kNeeds[] = {0,
                               kAvx2,
                               kAvx2 | kAvxVnni,
                               kAvx2 | kAvx512,
                               kAvx2 | kAvx512 | kAvx512Vnni,
                               kAvx2 | kAvx512 | kAvx512Vnni | kAmx};

}  // namespace

std::span<const Kernel* const> kernels() { return kKernels; }

uint32_t cpu_bits(KernelIsa isa) { return kNeeds[static_cast<size_t>(isa)]; }

bool can_run(const Kernel& kernel) {
  const uint32_t needs = cpu_bits(kernel.isa);
  return (cpu().bits & needs) == needs;
}

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
