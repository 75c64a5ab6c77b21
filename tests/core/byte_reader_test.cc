#include "nibble/core/byte_reader.h"

#include <gtest/gtest.h>

#include <array>

#include "tests/support/expect_error.h"

namespace nibble {
namespace {

using test::expect_error;

std::array<std::byte, 25> counting() {
  std::array<std::byte, 25> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i + 1);
  return bytes;
}

TEST(ByteReader, ReadsBothByteOrders) {
  const auto bytes = counting();
  ByteReader r(bytes);
  EXPECT_EQ(r.u8("a"), 1);
  EXPECT_EQ(r.u32("b"), 0x05040302u);
  EXPECT_EQ(r.u32_big_endian("c"), 0x06070809u);
  EXPECT_EQ(r.u64("d"), 0x11100F0E0D0C0B0Au);
  EXPECT_EQ(r.i32("e"), 0x15141312);
  EXPECT_EQ(r.take(3, "f").size(), 3u);
  EXPECT_EQ(r.left(), 1u);
  EXPECT_EQ(r.offset(), 24u);
}

TEST(ByteReader, StopsAtTheEnd) {
  const auto bytes = counting();
  ByteReader r(bytes);
  r.take(22, "start");
  expect_error(ErrorKind::corrupt, "offset 22: the size needs 4 bytes, 3 left",
               [&] { (void)r.u32("the size"); });
  expect_error(ErrorKind::corrupt, "needs 18446744073709551615 bytes",
               [&] { r.take(UINT64_MAX, "data"); });
  EXPECT_EQ(r.left(), 3u);  // a refused read takes nothing
}

TEST(ByteReader, ComparesCountsWithTheBytesLeft) {
  const auto bytes = counting();
  const ByteReader r(bytes);
  EXPECT_NO_THROW(r.check_count(6, 4, "records"));
  expect_error(ErrorKind::corrupt, "at most 6", [&] { r.check_count(7, 4, "records"); });
  expect_error(ErrorKind::corrupt, "at most 1",
               [&] { r.check_count(uint64_t{1} << 62, 24, "records"); });
}

}  // namespace
}  // namespace nibble
