#include "nibble/core/protobuf_writer.h"

#include <bit>

namespace nibble {
namespace {

// Wire types, beside the number of a field.
constexpr uint32_t kVarintField = 0, kBytesField = 2, kFixed32Field = 5;

}  // namespace

void ProtobufWriter::varint(uint64_t value) {
  for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7F) | 0x80);
  bytes_ += static_cast<char>(value);
}

ProtobufWriter& ProtobufWriter::integer(uint32_t number, int64_t value) {
  varint(number << 3 | kVarintField);
  varint(static_cast<uint64_t>(value));
  return *this;
}

ProtobufWriter& ProtobufWriter::f32(uint32_t number, float value) {
  varint(number << 3 | kFixed32Field);
  const auto bits = std::bit_cast<uint32_t>(value);
  for (int shift = 0; shift < 32; shift += 8) bytes_ += static_cast<char>(bits >> shift & 0xFF);
  return *this;
}

ProtobufWriter& ProtobufWriter::text(uint32_t number, std::string_view content) {
  varint(number << 3 | kBytesField);
  varint(content.size());
  bytes_ += content;
  return *this;
}

}  // namespace nibble
