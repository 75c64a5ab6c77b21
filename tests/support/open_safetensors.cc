// Opens the safetensors file named by its argument and prints the kind of the error that came of it
// and the most memory this process held, in KiB: a process of its own, for tests that measure
// memory.
#include <cstdio>
#include <fstream>
#include <string>

#include "nibble/core/error.h"
#include "nibble/format/safetensors.h"

namespace {

// getrusage() would count what the process held that started this one.
long peak_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    long kib = 0;
    if (word == "VmHWM:" && status >> kib) return kib;
  }
  return -1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  std::string kind = "none";
  try {
    nibble::open_safetensors(argv[1]);
  } catch (const nibble::Error& error) {
    kind = to_string(error.kind());
  }
  std::printf("%s %ld\n", kind.c_str(), peak_kib());
}
