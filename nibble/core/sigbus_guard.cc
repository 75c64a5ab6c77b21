#include "nibble/core/sigbus_guard.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>

#include "nibble/core/error.h"

// A signal handler can know nothing but what is static: this is the one place in nibble that keeps
// a table of what the process holds.
namespace nibble {
namespace {

// `taken` is claimed first; `begin` is published last and withdrawn first.
struct Mapping {
  std::atomic<bool> taken{false};
  std::atomic<uintptr_t> begin{0};
  size_t size = 0;
  const char* path = nullptr;
};
struct Temporary {
  std::atomic<bool> taken{false};
  std::atomic<const char*> path{nullptr};
  pid_t owner = 0;  // a forked child must not remove its parent's
};
constinit Mapping mappings[4096];
constinit Temporary temporaries[1024];
constinit SigbusEnd told;  // set before the handler is there

template <class Slot, size_t n>
int claim(Slot (&slots)[n]) {
  for (size_t i = 0; i < n; ++i) {
    if (!slots[i].taken.exchange(true, std::memory_order_acquire)) return static_cast<int>(i);
  }
  return -1;
}

// What getdents64(2) fills; glibc's readdir() allocates and must not be called in a handler.
struct KernelEntry {
  uint64_t inode;
  int64_t offset;
  unsigned short length;
  unsigned char type;
  char name[1];
};

void remove_tree(int folder, const char* name, int depth);

void empty_folder(int fd, int depth) {
  alignas(KernelEntry) char buffer[2048];
  for (;;) {
    const long n = syscall(SYS_getdents64, fd, buffer, sizeof(buffer));
    if (n <= 0) return;
    for (long at = 0; at < n;) {
      const auto* entry = reinterpret_cast<const KernelEntry*>(buffer + at);
      const char* name = buffer + at + offsetof(KernelEntry, name);
      if (std::strcmp(name, ".") != 0 && std::strcmp(name, "..") != 0) remove_tree(fd, name, depth);
      at += entry->length;
    }
  }
}

void remove_tree(int folder, const char* name, int depth) {
  if (unlinkat(folder, name, 0) == 0 || depth == 0) return;
  const int fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return;
  empty_folder(fd, depth - 1);
  close(fd);
  unlinkat(folder, name, AT_REMOVEDIR);
}

void say(const char* text, size_t size) {
  while (size > 0) {
    const ssize_t n = write(STDERR_FILENO, text, size);
    if (n <= 0) return;
    text += n;
    size -= static_cast<size_t>(n);
  }
}
void say(const char* text) { say(text, std::strlen(text)); }

// The path with everything that could break a line or a JSON string replaced.
void say_path(const char* path) {
  for (; *path != '\0'; ++path) {
    const auto byte = static_cast<unsigned char>(*path);
    const bool plain = byte >= 0x20 && byte < 0x7F && byte != '"' && byte != '\\';
    say(plain ? path : "?", 1);
  }
}

const Mapping* find_mapping(uintptr_t address) {
  for (const Mapping& m : mappings) {
    const uintptr_t begin = m.begin.load(std::memory_order_acquire);
    // The kernel may name the last page's end; a mapping holds whole pages.
    if (begin != 0 && address >= begin && address - begin < (m.size + 4095) / 4096 * 4096)
      return &m;
  }
  return nullptr;
}

void on_sigbus(int number, siginfo_t* info, void*) {
  const Mapping* mapping = find_mapping(reinterpret_cast<uintptr_t>(info->si_addr));
  const bool fault = info->si_code == BUS_ADRERR || info->si_code == BUS_OBJERR;
  if (!fault || mapping == nullptr) {
    signal(number, SIG_DFL);  // returning repeats the access, this time fatally
    if (info->si_code <= 0) raise(number);
    return;
  }
  constexpr char kReason[] = "the file became shorter, or its disk failed, while it was being read";
  say(told.begin);
  say_path(mapping->path);
  say(told.middle);
  say(kReason);
  say(told.end);
  remove_temporaries_now();
  _exit(told.exit_code);
}

}  // namespace

void install_sigbus_guard(const SigbusEnd& end) {
  told = end;
  struct sigaction action = {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  NIBBLE_CHECK(sigaction(SIGBUS, &action, nullptr) == 0);
}

void remove_temporaries_now() {
  constexpr int kDepth = 8;
  for (Temporary& t : temporaries) {
    const char* path = t.path.load(std::memory_order_acquire);
    if (path != nullptr && t.owner == getpid()) remove_tree(AT_FDCWD, path, kDepth);
  }
}

int guard_mapping(const std::byte* begin, size_t size, const char* path) {
  const int slot = claim(mappings);
  if (slot < 0) return slot;
  mappings[slot].size = size;
  mappings[slot].path = path;
  mappings[slot].begin.store(reinterpret_cast<uintptr_t>(begin), std::memory_order_release);
  return slot;
}

void unguard_mapping(int slot) {
  if (slot < 0) return;
  mappings[slot].begin.store(0, std::memory_order_release);
  mappings[slot].taken.store(false, std::memory_order_release);
}

int remember_temporary(const char* path) {
  const int slot = claim(temporaries);
  if (slot < 0) return slot;
  temporaries[slot].owner = getpid();
  temporaries[slot].path.store(path, std::memory_order_release);
  return slot;
}

void forget_temporary(int slot) {
  if (slot < 0) return;
  temporaries[slot].path.store(nullptr, std::memory_order_release);
  temporaries[slot].taken.store(false, std::memory_order_release);
}

}  // namespace nibble
