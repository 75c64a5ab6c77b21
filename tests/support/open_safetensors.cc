// Opens the safetensors file named by its argument and ends with the exit code of what came of it:
// a process of its own, for tests that measure memory.
#include "nibble/core/error.h"
#include "nibble/format/safetensors.h"

int main(int argc, char** argv) {
  if (argc != 2) return nibble::kExitUsage;
  try {
    return nibble::open_safetensors(argv[1])->list().empty() ? 1 : 0;
  } catch (const nibble::Error& error) {
    return error.exit_code();
  }
}
