// Files for input: mapped where bytes are used in place, read where they are parsed or repacked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

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
  /// Drops the whole pages of a part from memory; they come back when touched.
  void drop(size_t offset, size_t size) const;

 private:
  MappedFile() = default;
  std::string path_;
  int fd_ = -1;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  int64_t mtime_ns_ = 0;
  int guard_ = -1;  // its slot in the SIGBUS guard's table
};

/// A part of a mapped file as tensor storage that keeps the mapping alive.
Storage view_of(const std::shared_ptr<const MappedFile>& file, size_t offset, size_t size);

/// The whole of a regular file, read, not mapped. Error{corrupt} where it is longer than `limit`
/// bytes, Error{io} where it changed while it was read.
std::string read_file(const std::string& path, int64_t limit = int64_t{1} << 40);

}  // namespace nibble
