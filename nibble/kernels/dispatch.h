// Which of several sets of functions this processor runs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "nibble/core/cpu.h"
#include "nibble/kernels/kernel.h"

namespace nibble {

inline bool can_run(KernelIsa isa) {
  const uint32_t needs = isas()[static_cast<size_t>(isa)].needs;
  return (cpu().bits & needs) == needs;
}

template <class Ops>
struct OpsRow {
  KernelIsa isa;
  const Ops& (*ops)();
};

/// The first of them that can run; the last one always can.
template <class Ops, size_t n>
const Ops& best_of(const OpsRow<Ops> (&rows)[n]) {
  for (size_t i = 0; i + 1 < n; ++i) {
    if (can_run(rows[i].isa)) return rows[i].ops();
  }
  return rows[n - 1].ops();
}

}  // namespace nibble
