#include "fuzz/as_file.h"
#include "nibble/core/error.h"
#include "nibble/format/importance_file.h"

// An importance matrix: the older form, or GGUF where it begins so. What comes out can be divided.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const AsFile file(data, size);
  try {
    for (const auto& [name, entry] : nibble::read_importance(file.path()).entries) {
      if (entry.counts.empty() || entry.sums.size() % entry.counts.size() != 0) __builtin_trap();
      for (const float sum : entry.sums) {
        if (!(sum >= 0)) __builtin_trap();
      }
    }
  } catch (const nibble::Error&) {
  }
  return 0;
}
