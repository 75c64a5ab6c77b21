// When a mapped file is cut short by somebody else, touching the lost part raises SIGBUS. The guard
// tells that case from every other SIGBUS and ends the command in order.
#pragma once

#include <cstddef>

namespace nibble {

/// What is put on stderr around the path and the reason, and the code to exit with. The words must
/// stay valid.
struct SigbusEnd {
  const char *begin = "", *middle = ": ", *end = "\n";
  int exit_code = 1;
};

/// Installs a handler that turns SIGBUS inside a MappedFile into the end of the process, one line
/// on stderr and no temporary left behind. Every other SIGBUS takes its default course. For
/// commands, not for libraries.
void install_sigbus_guard(const SigbusEnd& end);

/// Removes the unfinished files and folders (AtomicFile, AtomicFolder) of this process. Only
/// async-signal-safe calls: for handlers that end the process at once.
void remove_temporaries_now();

// For MappedFile, AtomicFile and AtomicFolder, which tell the guard what exists. `path` must stay
// valid until it is forgotten. Lock-free; the slot is -1 where the table (4096 mappings, 1024
// temporaries) is full: then the guard does not know it.
int guard_mapping(const std::byte* begin, size_t size, const char* path);
void unguard_mapping(int slot);
int remember_temporary(const char* path);
void forget_temporary(int slot);

}  // namespace nibble
