// A file that is either there in full or not there at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace nibble {

/// A file that appears under its name only when commit() returns: written to NAME.nibble.tmp.PID
/// beside it, synced, renamed, and its folder synced. Without commit() nothing remains; what a
/// killed process left is removed by the next one. Errors are Error{io}, cannot_create also where
/// NAME is a folder or a symbolic link. Space is reserved first where the size is known. A file
/// that is replaced passes its permissions on. Character devices are written to directly.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path, int64_t expected_size = 0);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void commit();
  /// Where what was written lies until commit(), to be read back; empty for a device.
  const std::string& unfinished() const { return temporary_; }

 private:
  void create(unsigned mode);
  void reserve(int64_t size);
  void abandon();

  std::string path_, temporary_;  // temporary_ is empty for a device
  int fd_ = -1;
  int guard_ = -1;  // its slot in the table of temporaries
};

}  // namespace nibble
