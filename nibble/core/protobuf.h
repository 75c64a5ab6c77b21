// The wire format of Protocol Buffers (protobuf.dev, "Encoding"), read field by field. No schema,
// no recursion: the caller opens the messages it knows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace nibble {

/// One field as it stands in a message. Every accessor throws Error{corrupt} with the byte offset
/// where the field has another wire type.
class ProtobufField {
 public:
  uint32_t number() const { return number_; }
  uint64_t varint() const;
  /// A varint that stands for an int32 (negative ones are ten bytes long).
  int32_t int32() const;
  bool boolean() const { return varint() != 0; }
  float f32() const;
  /// A string, bytes or a message.
  std::span<const std::byte> bytes() const;
  std::string_view text() const;
  /// Where in the file the content begins.
  size_t offset() const { return offset_; }

 private:
  friend class ProtobufReader;
  void need(uint32_t wire_type, std::string_view name) const;
  uint32_t number_ = 0, wire_type_ = 0;
  uint64_t value_ = 0;
  std::span<const std::byte> bytes_;
  size_t offset_ = 0;
};

class ProtobufReader {
 public:
  /// `base_offset`: where in its file the message begins.
  explicit ProtobufReader(std::span<const std::byte> message, size_t base_offset = 0)
      : message_(message), base_(base_offset) {}
  /// The next field; false at the end. Error{corrupt} for what is no field: a length past the end,
  /// a varint over ten bytes, field number 0, groups.
  bool next(ProtobufField& field);

 private:
  uint64_t varint(std::string_view what);
  std::span<const std::byte> message_;
  size_t base_, at_ = 0;
};

}  // namespace nibble
