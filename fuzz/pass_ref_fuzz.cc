#include "fuzz/random_pass.h"

// With the kernels that need no instruction set: all of them under the sanitizers.
extern "C" int LLVMFuzzerInitialize(int*, char***) { return setenv("NIBBLE_ISA", "ref", 1); }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes in(data, size);
  try {
    RandomPass(in).run();
  } catch (const nibble::Error&) {
  }
  return 0;
}
