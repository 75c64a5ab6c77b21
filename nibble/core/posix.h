// The system calls of nibble/core: descriptors that close themselves, reads and writes that go on
// after EINTR and short counts.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

namespace nibble {

/// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

/// Opens a regular file for reading, with what fstat says of it. Never waits for a FIFO, never
/// opens a device; Error{not_found} for anything but a regular file.
Descriptor open_input(const std::string& path, struct stat* info);

/// Whether `path` names anything, links followed.
bool exists(const std::string& path);
/// Whether it names a folder, links followed.
bool is_folder(const std::string& path);
/// Whether it names a regular file, links followed.
bool is_regular_file(const std::string& path);

int64_t mtime_ns(const struct stat& info);

/// Writes all of `bytes`; Error{io} named after `path`, with the space left where the disk is full.
void write_all(int fd, std::span<const std::byte> bytes, const std::string& path);

/// fsync. A failure is final (a second fsync would lie), except that a folder whose file system
/// cannot sync folders is let pass.
void sync_descriptor(int fd, const std::string& path, bool folder);
void sync_folder(const std::string& path);

/// The error of writing `path`, with need and space left where the disk is full.
[[noreturn]] void throw_write_error(int errno_value, const std::string& path,
                                    const std::string& doing, int64_t need = 0);

/// "a/b" -> {"a", "b"}; "b" -> {".", "b"}; "/b" -> {"/", "b"}.
struct SplitPath {
  std::string folder, name;
};
SplitPath split_path(const std::string& path);

}  // namespace nibble
