#include "fuzz/random_pass.h"

// With the kernels of this processor, which no sanitizer watches: what they are given and give.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes in(data, size);
  try {
    RandomPass(in).run();
  } catch (const nibble::Error&) {
  }
  return 0;
}
