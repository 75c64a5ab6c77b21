#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <vector>

#include "nibble/core/error.h"
#include "nibble/quant/quantized_tensor.h"

namespace nibble {
namespace {

TEST(Packing, LowestBitFirstRowsPaddedTo32Bits) {
  EXPECT_EQ(packed_row_bytes(1, 1), 4);
  EXPECT_EQ(packed_row_bytes(8, 4), 4);
  EXPECT_EQ(packed_row_bytes(9, 4), 8);
  EXPECT_EQ(packed_row_bytes(0, 3), 0);
  EXPECT_THROW(packed_row_bytes(int64_t{1} << 62, 8), Error);
  const std::vector<uint8_t> codes{1, 2, 3, 4, 5};
  std::vector<uint8_t> row(4, 0xFF);
  pack_codes(codes, 3, row);
  // 001 | 010 << 3 | 011 << 6 | 100 << 9 | 101 << 12 = 0x58D1
  EXPECT_EQ(row, (std::vector<uint8_t>{0xD1, 0x58, 0, 0}));
}

TEST(Packing, RoundTripsForEveryWidthAndRaggedLength) {
  EXPECT_TRUE(rc::check("unpack(pack(c)) == c", [] {
    const int bits = *rc::gen::inRange(1, 9);
    const auto k = *rc::gen::inRange<size_t>(0, 300);
    const auto codes = *rc::gen::container<std::vector<uint8_t>>(
        k, rc::gen::map(rc::gen::inRange(0, 1 << bits),
                        [](int v) { return static_cast<uint8_t>(v); }));
    std::vector<uint8_t> row(static_cast<size_t>(packed_row_bytes(static_cast<int64_t>(k), bits)),
                             0xAA);
    pack_codes(codes, bits, row);
    std::vector<uint8_t> back(k);
    unpack_codes(row, bits, back);
    RC_ASSERT(back == codes);
  }));
}

TEST(Packing, AllCodesAtTheirLimitForEveryWidth) {
  for (int bits = 1; bits <= 8; ++bits) {
    for (const size_t k : {1u, 2u, 3u, 5u, 7u, 8u, 15u, 16u, 17u, 31u, 33u, 63u, 127u, 129u}) {
      const std::vector<uint8_t> codes(k, static_cast<uint8_t>((1 << bits) - 1));
      std::vector<uint8_t> row(
          static_cast<size_t>(packed_row_bytes(static_cast<int64_t>(k), bits)));
      pack_codes(codes, bits, row);
      std::vector<uint8_t> back(k);
      unpack_codes(row, bits, back);
      EXPECT_EQ(back, codes) << bits << " bits, k " << k;
    }
  }
}

}  // namespace
}  // namespace nibble
