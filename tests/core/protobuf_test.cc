// Protocol Buffers field by field, against messages that are written by the definition of the wire
// format; everything cut, and everything that is no field.
#include "nibble/core/protobuf.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "nibble/core/error.h"
#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

std::string tag(uint32_t number, uint32_t wire_type) {
  return varint(uint64_t{number} << 3 | wire_type);
}

std::string number_field(uint32_t number, uint64_t value) { return tag(number, 0) + varint(value); }

std::string text_field(uint32_t number, const std::string& text) {
  return tag(number, 2) + varint(text.size()) + text;
}

std::string float_field(uint32_t number, float value) {
  char bytes[4];
  std::memcpy(bytes, &value, 4);
  return tag(number, 5) + std::string(bytes, 4);
}

ProtobufReader reader(const std::string& message, size_t base = 0) {
  return ProtobufReader(std::as_bytes(std::span(message)), base);
}

std::vector<ProtobufField> fields(const std::string& message) {
  ProtobufReader r = reader(message);
  std::vector<ProtobufField> out;
  for (ProtobufField f; r.next(f);) out.push_back(f);
  return out;
}

TEST(Protobuf, FieldsComeInTheirOrder) {
  const std::string message = number_field(1, 300) + text_field(2, "abc") + float_field(3, -1.5f) +
                              number_field(1, 1) + tag(9, 1) + std::string(8, '\1');
  const auto all = fields(message);
  ASSERT_EQ(all.size(), 5u);
  EXPECT_EQ(all[0].number(), 1u);
  EXPECT_EQ(all[0].varint(), 300u);
  EXPECT_EQ(all[1].text(), "abc");
  EXPECT_EQ(all[1].bytes().size(), 3u);
  EXPECT_EQ(all[2].f32(), -1.5f);
  EXPECT_TRUE(all[3].boolean());
  EXPECT_EQ(all[4].number(), 9u);
  EXPECT_TRUE(fields("").empty());
}

TEST(Protobuf, NumbersAtTheirLimits) {
  for (const uint64_t value :
       {uint64_t{0}, uint64_t{127}, uint64_t{128}, uint64_t{1} << 32, UINT64_MAX}) {
    const auto all = fields(number_field(5, value));
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].varint(), value);
  }
  for (const int32_t value : {0, 1, -1, INT32_MAX, INT32_MIN}) {
    const std::string message = number_field(5, static_cast<uint64_t>(int64_t{value}));
    EXPECT_EQ(fields(message)[0].int32(), value);
  }
  EXPECT_THROW((void)fields(number_field(5, uint64_t{1} << 31))[0].int32(), Error);
  EXPECT_EQ(fields(number_field(0x1FFFFFFF, 7))[0].number(), 0x1FFFFFFFu);
}

TEST(Protobuf, TheWrongTypeIsAnErrorWithItsOffset) {
  const std::string message = number_field(1, 5) + text_field(2, "x") + float_field(3, 1);
  const auto all = fields(message);
  expect_error(ErrorKind::corrupt, "field 1", [&] { (void)all[0].text(); });
  expect_error(ErrorKind::corrupt, "field 1", [&] { (void)all[0].f32(); });
  expect_error(ErrorKind::corrupt, "field 2", [&] { (void)all[1].varint(); });
  expect_error(ErrorKind::corrupt, "field 3", [&] { (void)all[2].bytes(); });
  ProtobufReader r = reader(message, 100);
  ProtobufField f;
  ASSERT_TRUE(r.next(f) && r.next(f));
  EXPECT_EQ(f.offset(), 104u);  // two bytes of field 1, then tag and length
  expect_error(ErrorKind::corrupt, "offset 104", [&] { (void)f.int32(); });
}

TEST(Protobuf, WhatIsNoFieldIsRefused) {
  expect_error(ErrorKind::corrupt, "number", [] { fields(tag(0, 0) + "\1"); });
  expect_error(ErrorKind::corrupt, "number",
               [] { fields(varint(uint64_t{0x20000000} << 3) + "\1"); });
  for (const uint32_t wire : {3u, 4u, 6u, 7u})
    expect_error(ErrorKind::corrupt, "wire type", [&] { fields(tag(1, wire) + "\1\1"); });
  EXPECT_THROW(fields(std::string(10, '\x80') + "\1"), Error);       // over ten bytes
  EXPECT_THROW(fields(tag(1, 0) + std::string(11, '\xFF')), Error);  // and as a value
  expect_error(ErrorKind::corrupt, "needs 18446744073709551615 bytes",
               [] { fields(tag(1, 2) + varint(UINT64_MAX) + "abc"); });
}

TEST(Protobuf, EveryCutIsAnErrorOrAWholeNumberOfFields) {
  const std::vector<std::string> parts = {number_field(1, 300), text_field(2, "abc"),
                                          float_field(3, 2), text_field(4, ""),
                                          tag(5, 1) + std::string(8, 'x')};
  std::string message;
  std::vector<size_t> borders = {0};
  for (const std::string& p : parts) borders.push_back((message += p).size());
  for (size_t n = 0; n <= message.size(); ++n) {
    const auto at = std::find(borders.begin(), borders.end(), n);
    if (at == borders.end())
      EXPECT_THROW(fields(message.substr(0, n)), Error) << n;
    else
      EXPECT_EQ(fields(message.substr(0, n)).size(), static_cast<size_t>(at - borders.begin()));
  }
}

TEST(Protobuf, AMessageInAMessageKnowsItsPlace) {
  const std::string inner = number_field(7, 9), message = number_field(1, 1) + text_field(2, inner);
  const auto all = fields(message);
  ProtobufReader nested(all[1].bytes(), all[1].offset());
  ProtobufField f;
  ASSERT_TRUE(nested.next(f));
  EXPECT_EQ(f.varint(), 9u);
  EXPECT_EQ(f.offset(), message.size() - 1);
  EXPECT_FALSE(nested.next(f));
}

}  // namespace
}  // namespace nibble
