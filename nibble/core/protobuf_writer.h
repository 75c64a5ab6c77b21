// The wire format of Protocol Buffers (protobuf.dev, "Encoding"), written field by field: a message
// is what the calls add, in their order.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace nibble {

class ProtobufWriter {
 public:
  /// Numbers of fields are from 1 on. A negative int64 goes as ten bytes, as the format has it.
  ProtobufWriter& integer(uint32_t number, int64_t value);
  ProtobufWriter& f32(uint32_t number, float value);
  /// A string, bytes, or a message that is complete.
  ProtobufWriter& text(uint32_t number, std::string_view content);

  const std::string& bytes() const { return bytes_; }

 private:
  void varint(uint64_t value);
  std::string bytes_;
};

}  // namespace nibble
