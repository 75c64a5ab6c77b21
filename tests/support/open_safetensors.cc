// Opens the safetensors file named by its argument and prints the exit code of what came of it and
// the most memory this process held, in KiB: a process of its own, for tests that measure memory.
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
  if (argc != 2) return nibble::kExitUsage;
  int code = 0;
  try {
    nibble::open_safetensors(argv[1]);
  } catch (const nibble::Error& error) {
    code = error.exit_code();
  }
  std::printf("%d %ld\n", code, peak_kib());
}
