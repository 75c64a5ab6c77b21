// ByteReader: the one door for binary files. A cursor with the number of bytes left; every read is
// checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace nibble {

/// Little-endian unless said. Every function throws Error{corrupt} with the byte offset where the
/// bytes end first.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}
  size_t offset() const { return offset_; }
  size_t left() const { return bytes_.size() - offset_; }

  uint8_t u8(std::string_view what);
  uint32_t u32(std::string_view what);
  uint32_t u32_big_endian(std::string_view what);
  uint64_t u64(std::string_view what);
  int32_t i32(std::string_view what);
  float f32(std::string_view what);
  /// The next `count` bytes, in place.
  std::span<const std::byte> take(uint64_t count, std::string_view what);
  /// Refuses a count of records that the bytes left could not hold even if each took only
  /// `minimum_bytes`.
  void check_count(uint64_t count, uint64_t minimum_bytes, std::string_view what) const;

 private:
  std::span<const std::byte> bytes_;
  size_t offset_ = 0;
};

}  // namespace nibble
