#include "nibble/core/protobuf.h"

#include <fmt/format.h>

#include <bit>

#include "nibble/core/byte_reader.h"
#include "nibble/core/error.h"

namespace nibble {
namespace {

enum WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

std::string place(size_t offset) { return fmt::format("offset {}", offset); }

}  // namespace

void ProtobufField::need(uint32_t wire_type, std::string_view name) const {
  if (wire_type_ == wire_type) return;
  throw corrupt(
      fmt::format("protobuf field {}: expected {}, found wire type {}", number_, name, wire_type_))
      .at(place(offset_));
}

uint64_t ProtobufField::varint() const {
  need(kVarint, "a varint");
  return value_;
}

int32_t ProtobufField::int32() const {
  const auto value = static_cast<int64_t>(varint());
  if (value < INT32_MIN || value > INT32_MAX) {
    throw corrupt(fmt::format("protobuf field {}: {} does not fit in 32 bits", number_, value))
        .at(place(offset_));
  }
  return static_cast<int32_t>(value);
}

float ProtobufField::f32() const {
  need(kFixed32, "a float");
  return std::bit_cast<float>(static_cast<uint32_t>(value_));
}

std::span<const std::byte> ProtobufField::bytes() const {
  need(kBytes, "bytes");
  return bytes_;
}

std::string_view ProtobufField::text() const {
  const auto content = bytes();
  return {reinterpret_cast<const char*>(content.data()), content.size()};
}

uint64_t ProtobufReader::varint(std::string_view what) {
  uint64_t value = 0;
  const size_t start = at_;
  for (unsigned shift = 0; shift < 70; shift += 7) {
    if (at_ == message_.size()) {
      throw corrupt(fmt::format("{} ends too early (incomplete download?)", what))
          .at(place(base_ + start));
    }
    const auto byte = std::to_integer<uint64_t>(message_[at_++]);
    if (shift == 63 && byte > 1) break;
    value |= (byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  throw corrupt(fmt::format("{} is longer than 64 bits", what)).at(place(base_ + start));
}

bool ProtobufReader::next(ProtobufField& field) {
  if (at_ == message_.size()) return false;
  const size_t start = at_;
  const uint64_t tag = varint("a protobuf tag");
  const auto wrong = [&](std::string_view reason) {
    return corrupt(fmt::format("not a protobuf field: {} (tag {})", reason, tag))
        .at(place(base_ + start));
  };
  if (tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF) throw wrong("its number is out of range");
  field.number_ = static_cast<uint32_t>(tag >> 3);
  field.wire_type_ = static_cast<uint32_t>(tag & 7);
  field.offset_ = base_ + at_;
  field.bytes_ = {};
  if (field.wire_type_ == kVarint) {
    field.value_ = varint("a protobuf number");
    return true;
  }
  if (field.wire_type_ != kBytes && field.wire_type_ != kFixed32 && field.wire_type_ != kFixed64) {
    throw wrong(fmt::format("wire type {}", field.wire_type_));
  }
  const uint64_t length = field.wire_type_ == kBytes     ? varint("a protobuf length")
                          : field.wire_type_ == kFixed32 ? 4
                                                         : 8;
  field.offset_ = base_ + at_;
  if (length > message_.size() - at_) {
    throw corrupt(fmt::format("protobuf field {} needs {} bytes, {} left (incomplete download?)",
                              field.number_, length, message_.size() - at_))
        .at(place(field.offset_));
  }
  field.bytes_ = message_.subspan(at_, static_cast<size_t>(length));
  ByteReader fixed(field.bytes_);
  if (field.wire_type_ == kFixed32) field.value_ = fixed.u32("a float");
  if (field.wire_type_ == kFixed64) field.value_ = fixed.u64("a double");
  at_ += field.bytes_.size();
  return true;
}

}  // namespace nibble
