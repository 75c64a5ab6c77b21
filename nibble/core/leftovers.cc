#include "nibble/core/leftovers.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <functional>

namespace nibble {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxName = 255;
constexpr std::string_view kFileEnd = ".nibble.tmp.";

bool gone(pid_t pid) { return pid == getpid() || (kill(pid, 0) != 0 && errno == ESRCH); }

// The number behind `prefix`; 0 where the name is another.
pid_t process_of(const std::string& name, const std::string& prefix) {
  if (!name.starts_with(prefix)) return 0;
  pid_t pid = 0;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + prefix.size(), end, pid);
  return parsed.ec == std::errc() && parsed.ptr == end && pid > 0 ? pid : 0;
}

// f(path, pid, descriptor) for every file or folder PREFIX + digits.
void for_each_unfinished(const std::string& folder, const std::string& prefix,
                         const std::function<void(const std::string&, pid_t, int)>& f) {
  std::error_code ignored;  // a folder that cannot be listed keeps its leftovers
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const pid_t pid = process_of(entry.path().filename().string(), prefix);
    if (pid == 0) continue;
    const std::string path = entry.path().string();
    const Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    if (fd.valid()) f(path, pid, fd.get());
  }
}

bool is_marked(int folder) {
  struct stat info;
  const std::string marker(kUnfinishedMarker);
  return fstatat(folder, marker.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode);
}

bool is_own_file(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1;
}

}  // namespace

std::string unfinished_file_prefix(const std::string& name) {
  constexpr size_t kDigits = sizeof("4194304") - 1;  // the largest process number of Linux
  return name.substr(0, kMaxName - kFileEnd.size() - kDigits) + std::string(kFileEnd);
}

std::string unfinished_folder_prefix(const std::string& name) { return name + ".partial-"; }

bool mark_unfinished(const std::string& folder) {
  const std::string path = folder + "/" + std::string(kUnfinishedMarker);
  return Descriptor(open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666)).valid();
}

void remove_file_leftovers(const std::string& folder, const std::string& prefix) {
  for_each_unfinished(folder, prefix, [](const std::string& path, pid_t pid, int fd) {
    // A process of another container may live although its number is unknown here: it has a lock.
    if (is_own_file(fd) && gone(pid) && flock(fd, LOCK_EX | LOCK_NB) == 0) unlink(path.c_str());
  });
}

std::string remove_folder_leftovers(const std::string& folder, const std::string& prefix) {
  std::string living;
  for_each_unfinished(folder, prefix, [&](const std::string& path, pid_t pid, int fd) {
    const bool marked = is_marked(fd);
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
      if (marked && errno == EWOULDBLOCK) living = path;
      return;
    }
    std::error_code ignored;
    if (gone(pid) && marked) fs::remove_all(path, ignored);
    if (gone(pid) && !marked) rmdir(path.c_str());  // killed before the marker was there
  });
  return living;
}

bool lock_for_life(int fd) { return flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK; }

Descriptor lock_folder_briefly(const std::string& path) {
  constexpr int kTries = 100;
  Descriptor fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  for (int i = 0; fd.valid() && i < kTries && !lock_for_life(fd.get()); ++i) {
    if (is_marked(fd.get())) break;
    usleep(10'000);
  }
  return fd;
}

}  // namespace nibble
