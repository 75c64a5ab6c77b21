#include "fuzz/as_file.h"
#include "nibble/core/error.h"
#include "nibble/format/idx.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const AsFile file(data, size);
  try {
    const nibble::IdxData idx = nibble::read_idx(file.path());
    if (idx.values.size() != static_cast<size_t>(idx.shape.elements())) __builtin_trap();
  } catch (const nibble::Error&) {
  }
  return 0;
}
