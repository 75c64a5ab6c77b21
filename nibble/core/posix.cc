#include "nibble/core/posix.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "nibble/core/error.h"

namespace nibble {
namespace {

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

void require_regular(const std::string& path, const struct stat& info) {
  if (S_ISREG(info.st_mode)) return;
  throw not_found(fmt::format("is {}, expected a regular file", kind_of(info.st_mode)))
      .in_file(path);
}

}  // namespace

Descriptor::~Descriptor() {
  if (fd_ >= 0) close(fd_);
}

Descriptor open_input(const std::string& path, struct stat* info) {
  // The name is looked at before it is opened, because opening some devices does something; and
  // again after, because it may have become something else.
  if (stat(path.c_str(), info) != 0) throw system_error(errno, path, "open");
  require_regular(path, *info);
  Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd.valid()) throw system_error(errno, path, "open");
  if (fstat(fd.get(), info) != 0) throw system_error(errno, path, "open");
  require_regular(path, *info);
  return fd;
}

bool exists(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0;
}

bool is_folder(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

bool is_regular_file(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

int64_t mtime_ns(const struct stat& info) {
  return int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
}

void write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  constexpr size_t kMost = size_t{1} << 30;
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), std::min(bytes.size(), kMost));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      throw_write_error(n < 0 ? errno : ENOSPC, path, "write", static_cast<int64_t>(bytes.size()));
    }
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

void sync_descriptor(int fd, const std::string& path, bool folder) {
  if (fsync(fd) == 0) return;
  if (folder && (errno == EINVAL || errno == ENOTSUP)) return;
  throw_write_error(errno, path, "sync to disk");
}

void sync_folder(const std::string& path) {
  const Descriptor fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // A folder that may be written but not listed cannot be opened for this; its files are synced.
  if (!fd.valid() && errno == EACCES) return;
  if (!fd.valid()) throw_write_error(errno, path, "sync to disk");
  sync_descriptor(fd.get(), path, true);
}

void throw_write_error(int errno_value, const std::string& path, const std::string& doing,
                       int64_t need) {
  struct statvfs space;
  const bool full = errno_value == ENOSPC || errno_value == EDQUOT;
  if (!full || statvfs(split_path(path).folder.c_str(), &space) != 0) {
    throw system_error(errno_value, path, doing, Access::write);
  }
  const uint64_t left = uint64_t{space.f_bavail} * space.f_frsize;
  std::string reason = fmt::format("cannot {}: {}", doing, std::strerror(errno_value));
  if (need > 0) reason += fmt::format(" (need {} more bytes, {} free)", need, left);
  throw io_error(std::move(reason)).in_file(path);
}

SplitPath split_path(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {".", path};
  return {slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace nibble
