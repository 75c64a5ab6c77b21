// Files: mapped or read for input, written so that a name always stands for a complete file.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "nibble/core/tensor.h"

namespace nibble {

/// A regular file mapped read-only. FIFOs, devices and folders are refused at once
/// (Error{not_found}, no hang). Remembers size and modification time, so that a reader can tell
/// that the file changed meanwhile.
class MappedFile {
 public:
  static std::shared_ptr<const MappedFile> open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const std::string& path() const { return path_; }
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  /// Throws Error{io} where the file's size or time is no longer what it was at open.
  void check_unchanged() const;
  /// Drops the pages of a part from memory; they come back when touched.
  void drop(size_t offset, size_t size) const;

 private:
  MappedFile() = default;
  std::string path_;
  int fd_ = -1;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  int64_t mtime_ns_ = 0;
};

/// A part of a mapped file as tensor storage that keeps the mapping alive.
Storage view_of(const std::shared_ptr<const MappedFile>& file, size_t offset, size_t size);

/// Installs a handler that turns SIGBUS on a mapped file (truncated by somebody else) into an
/// orderly exit with code 74 and one line on stderr. For commands, not for libraries.
void install_sigbus_guard();

/// The whole of a text file; Error where it is longer than `limit` bytes.
std::string read_file(const std::string& path, int64_t limit = int64_t{1} << 40);

/// A file that appears under its name only when commit() returns: written to NAME.tmp.PID beside
/// it, synced, renamed, and its folder synced. Without commit() nothing remains. Errors are
/// Error{io} (74; 73 and 77 at creation). Space is reserved first where the size is known.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path, int64_t expected_size = 0);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void commit();

 private:
  std::string path_, temporary_;
  int fd_ = -1;
};

/// A folder that appears under its name only when commit() returns. Its files are written into
/// path(), a folder OUT.partial-PID beside it; leftovers of dead processes are removed first. Where
/// OUT exists, Error with exit code 73 unless `force`, which exchanges the two names and then
/// removes the old one. All checks that can fail early (a missing parent, no permission, OUT being
/// a file) are made by the constructor.
class AtomicFolder {
 public:
  AtomicFolder(std::string out, bool force);
  ~AtomicFolder();
  AtomicFolder(const AtomicFolder&) = delete;
  AtomicFolder& operator=(const AtomicFolder&) = delete;
  const std::string& path() const { return partial_; }
  std::string file(std::string_view name) const;
  void commit();

 private:
  std::string out_, partial_;
  bool force_, done_ = false;
};

/// Throws Error{invalid_argument} where `out` is one of `inputs` (by path, hard link or symbolic
/// link) or lies so that replacing it would remove an input.
void refuse_same_file(const std::string& out, std::span<const std::string> inputs);

}  // namespace nibble
